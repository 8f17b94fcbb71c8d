// A libaom encoder in one block of C memory: libaom keeps pointers to its
// configuration, which therefore must not live in Go's memory.
#include <aom/aom_encoder.h>
#include <aom/aomcx.h>

typedef struct {
	aom_codec_ctx_t ctx;
	aom_codec_enc_cfg_t cfg;
	int opened;
	// of the last picture that came out
	const void *data;
	size_t size;
	int key;
} encoder;

// aomenc_defaults fills cfg as libaom would for live coding.
aom_codec_err_t aomenc_defaults(encoder *e);
aom_codec_err_t aomenc_open(encoder *e);
aom_codec_err_t aomenc_control(encoder *e, int id, int value);
aom_codec_err_t aomenc_encode(encoder *e, unsigned char *y, unsigned char *u, unsigned char *v,
	int y_stride, int uv_stride, aom_codec_pts_t pts, unsigned long duration, int key);
void aomenc_close(encoder *e);
const char *aomenc_detail(encoder *e);
