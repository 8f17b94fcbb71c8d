#include <stddef.h>

#include "encoder.h"

int x264enc_defaults(encoder *e, const char *preset)
{
	int err = x264_param_default_preset(&e->param, preset, "zerolatency");
	e->param.i_log_level = X264_LOG_NONE;
	return err;
}

int x264enc_open(encoder *e, const char *profile)
{
	int err = x264_param_apply_profile(&e->param, profile);
	if (err < 0)
		return err;
	e->h = x264_encoder_open(&e->param);
	return e->h ? 0 : -1;
}

int x264enc_encode(encoder *e, uint8_t *y, uint8_t *u, uint8_t *v, int y_stride, int uv_stride, int64_t pts, int key)
{
	x264_picture_t in, out;

	x264_picture_init(&in);
	in.i_type = key ? X264_TYPE_IDR : X264_TYPE_AUTO;
	in.i_pts = pts;
	in.img.i_csp = X264_CSP_I420;
	in.img.i_plane = 3;
	in.img.plane[0] = y;
	in.img.plane[1] = u;
	in.img.plane[2] = v;
	in.img.i_stride[0] = y_stride;
	in.img.i_stride[1] = in.img.i_stride[2] = uv_stride;
	e->nals = 0;
	int size = x264_encoder_encode(e->h, &e->nal, &e->nals, &in, &out);
	e->key = size > 0 && out.i_type == X264_TYPE_IDR;
	return size;
}

int x264enc_reconfig(encoder *e)
{
	return x264_encoder_reconfig(e->h, &e->param);
}

void x264enc_close(encoder *e)
{
	if (e->h)
		x264_encoder_close(e->h);
	e->h = NULL;
}
