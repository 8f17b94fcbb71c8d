#include "encoder.h"

aom_codec_err_t aomenc_defaults(encoder *e)
{
	return aom_codec_enc_config_default(aom_codec_av1_cx(), &e->cfg, AOM_USAGE_REALTIME);
}

aom_codec_err_t aomenc_open(encoder *e)
{
	aom_codec_err_t err = aom_codec_enc_init(&e->ctx, aom_codec_av1_cx(), &e->cfg, 0);
	e->opened = err == AOM_CODEC_OK;
	return err;
}

// All ids used here take one int.
aom_codec_err_t aomenc_control(encoder *e, int id, int value)
{
	return aom_codec_control(&e->ctx, id, value);
}

aom_codec_err_t aomenc_encode(encoder *e, unsigned char *y, unsigned char *u, unsigned char *v,
	int y_stride, int uv_stride, aom_codec_pts_t pts, unsigned long duration, int key)
{
	aom_image_t img;
	aom_codec_iter_t iter = NULL;
	const aom_codec_cx_pkt_t *pkt;

	e->data = NULL;
	e->size = 0;
	e->key = 0;
	if (!aom_img_wrap(&img, AOM_IMG_FMT_I420, e->cfg.g_w, e->cfg.g_h, 1, y))
		return AOM_CODEC_INVALID_PARAM;
	img.planes[AOM_PLANE_Y] = y;
	img.planes[AOM_PLANE_U] = u;
	img.planes[AOM_PLANE_V] = v;
	img.stride[AOM_PLANE_Y] = y_stride;
	img.stride[AOM_PLANE_U] = img.stride[AOM_PLANE_V] = uv_stride;
	img.cp = AOM_CICP_CP_BT_601;
	img.tc = AOM_CICP_TC_BT_601;
	img.mc = AOM_CICP_MC_BT_601;
	img.range = AOM_CR_STUDIO_RANGE;
	aom_codec_err_t err = aom_codec_encode(&e->ctx, &img, pts, duration, key ? AOM_EFLAG_FORCE_KF : 0);
	if (err != AOM_CODEC_OK)
		return err;
	while ((pkt = aom_codec_get_cx_data(&e->ctx, &iter))) {
		if (pkt->kind != AOM_CODEC_CX_FRAME_PKT)
			continue;
		// Without lag and layers there is one packet a picture.
		e->data = pkt->data.frame.buf;
		e->size = pkt->data.frame.sz;
		e->key = (pkt->data.frame.flags & AOM_FRAME_IS_KEY) != 0;
	}
	return AOM_CODEC_OK;
}

void aomenc_close(encoder *e)
{
	if (e->opened)
		aom_codec_destroy(&e->ctx);
	e->opened = 0;
}

const char *aomenc_detail(encoder *e)
{
	const char *detail = e->opened ? aom_codec_error_detail(&e->ctx) : NULL;
	return detail ? detail : "";
}
