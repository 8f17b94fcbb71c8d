#include "encoder.h"

vpx_codec_err_t vpxenc_defaults(encoder *e, vpx_codec_iface_t *iface)
{
	return vpx_codec_enc_config_default(iface, &e->cfg, 0);
}

vpx_codec_err_t vpxenc_open(encoder *e, vpx_codec_iface_t *iface)
{
	vpx_codec_err_t err = vpx_codec_enc_init(&e->ctx, iface, &e->cfg, 0);
	e->opened = err == VPX_CODEC_OK;
	return err;
}

// The typed macro vpx_codec_control wants the id as a constant; all ids used
// here take one int.
vpx_codec_err_t vpxenc_control(encoder *e, int id, int value)
{
	return vpx_codec_control_(&e->ctx, id, value);
}

vpx_codec_err_t vpxenc_layer(encoder *e, int id)
{
	if (!e->vp9)
		return vpxenc_control(e, VP8E_SET_TEMPORAL_LAYER_ID, id);
	vpx_svc_layer_id_t layer = {.temporal_layer_id = id, .temporal_layer_id_per_spatial = {id}};
	return vpx_codec_control(&e->ctx, VP9E_SET_SVC_LAYER_ID, &layer);
}

vpx_codec_err_t vpxenc_encode(encoder *e, unsigned char *y, unsigned char *u, unsigned char *v,
	int y_stride, int uv_stride, vpx_codec_pts_t pts, unsigned long duration, vpx_enc_frame_flags_t flags)
{
	vpx_image_t img;
	vpx_codec_iter_t iter = NULL;
	const vpx_codec_cx_pkt_t *pkt;

	e->data = NULL;
	e->size = 0;
	e->key = 0;
	if (!vpx_img_wrap(&img, VPX_IMG_FMT_I420, e->cfg.g_w, e->cfg.g_h, 1, y))
		return VPX_CODEC_INVALID_PARAM;
	img.planes[VPX_PLANE_Y] = y;
	img.planes[VPX_PLANE_U] = u;
	img.planes[VPX_PLANE_V] = v;
	img.stride[VPX_PLANE_Y] = y_stride;
	img.stride[VPX_PLANE_U] = img.stride[VPX_PLANE_V] = uv_stride;
	vpx_codec_err_t err = vpx_codec_encode(&e->ctx, &img, pts, duration, flags, VPX_DL_REALTIME);
	if (err != VPX_CODEC_OK)
		return err;
	while ((pkt = vpx_codec_get_cx_data(&e->ctx, &iter))) {
		if (pkt->kind != VPX_CODEC_CX_FRAME_PKT)
			continue;
		// Without output partitions and lag there is one packet a picture.
		e->data = pkt->data.frame.buf;
		e->size = pkt->data.frame.sz;
		e->key = (pkt->data.frame.flags & VPX_FRAME_IS_KEY) != 0;
	}
	return VPX_CODEC_OK;
}

void vpxenc_close(encoder *e)
{
	if (e->opened)
		vpx_codec_destroy(&e->ctx);
	e->opened = 0;
}

const char *vpxenc_detail(encoder *e)
{
	const char *detail = e->opened ? vpx_codec_error_detail(&e->ctx) : NULL;
	return detail ? detail : "";
}
