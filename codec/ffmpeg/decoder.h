// A decoder of libavcodec's that takes a packet and gives the picture it
// completed in one call.
#include <libavcodec/avcodec.h>

typedef struct decoder {
	AVCodecContext *codec;
	AVPacket *packet;
	AVFrame *spare; // takes the next picture
} decoder;

int decoder_open(decoder *d, const char *name, int64_t max_pixels);
int decoder_decode(decoder *d, const uint8_t *data, int size, int filtered, AVFrame **newest);
void decoder_close(decoder *d);
