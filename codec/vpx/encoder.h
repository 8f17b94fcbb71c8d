// A libvpx encoder in one block of C memory: libvpx keeps pointers to its
// configuration, which therefore must not live in Go's memory.
#include <vpx/vp8cx.h>
#include <vpx/vpx_encoder.h>

#define VPX_MAX_TEMPORAL 3

typedef struct {
	vpx_codec_ctx_t ctx;
	vpx_codec_enc_cfg_t cfg;
	int opened;
	int vp9; // set before vpxenc_layer
	// of the last picture that came out
	const void *data;
	size_t size;
	int key;
} encoder;

// vpxenc_defaults fills cfg as libvpx would for live coding.
vpx_codec_err_t vpxenc_defaults(encoder *e, vpx_codec_iface_t *iface);
vpx_codec_err_t vpxenc_open(encoder *e, vpx_codec_iface_t *iface);
vpx_codec_err_t vpxenc_control(encoder *e, int id, int value);
// vpxenc_layer says which temporal layer the next picture is in.
vpx_codec_err_t vpxenc_layer(encoder *e, int id);
vpx_codec_err_t vpxenc_encode(encoder *e, unsigned char *y, unsigned char *u, unsigned char *v,
	int y_stride, int uv_stride, vpx_codec_pts_t pts, unsigned long duration, vpx_enc_frame_flags_t flags);
void vpxenc_close(encoder *e);
const char *vpxenc_detail(encoder *e);
