// An x264 encoder in one block of C memory: Go may not pass x264 structs that
// point to Go's memory.
#include <stdint.h>
#include <x264.h>

typedef struct {
	x264_t *h;
	x264_param_t param;
	// of the last picture: its NAL units, one behind the other, each behind four
	// bytes of length
	x264_nal_t *nal;
	int nals;
	int key;
} encoder;

// x264enc_defaults fills param with a preset for pictures that go out at once.
int x264enc_defaults(encoder *e, const char *preset);
// x264enc_open opens the encoder; no setting may use what profile does not have.
int x264enc_open(encoder *e, const char *profile);
int x264enc_encode(encoder *e, uint8_t *y, uint8_t *u, uint8_t *v, int y_stride, int uv_stride, int64_t pts, int key);
int x264enc_reconfig(encoder *e);
void x264enc_close(encoder *e);
