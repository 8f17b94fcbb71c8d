// A muxer of libavformat whose output is memory that Go takes after each call,
// so that C never calls back into Go. Where libavformat opens the address
// itself (rtmp, srt, rtsp), it writes there and can be interrupted.
#include <stdatomic.h>
#include <stdint.h>
#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavcodec/codec_desc.h>
#include <libavformat/avformat.h>
#include <libavutil/time.h>

// piece is bytes that belong at one place of the output.
typedef struct {
	int64_t at;
	size_t size;
} piece;

typedef struct {
	AVFormatContext *fc;
	AVPacket *packet;
	AVDictionary *options; // of the muxer and the protocol
	uint8_t *out;          // what is to be written, one piece behind the other
	size_t size, room;
	piece *pieces;
	int n, most;
	int64_t at, end; // where libavformat is, and where the output ends
	int own;         // the IO is ours
	int header;      // is written
	atomic_int stop;         // ends whatever is waited for
	atomic_llong deadline;   // too, µs of av_gettime_relative; 0: none
} muxer;

int mux_open(muxer *m, const char *format, const char *address, int seekable);
int mux_option(muxer *m, const char *key, const char *value);
int mux_tag(muxer *m, const char *key, const char *value);
int mux_chapter(muxer *m, int64_t from, int64_t to, const char *title); // ms
int mux_add(muxer *m, const char *codec, int clock, int width, int height, int rate, int channels, int64_t bitrate);
int mux_extra(muxer *m, int stream, const uint8_t *data, size_t size, int padding);
int mux_extract(muxer *m, int stream, const uint8_t *data, size_t size);
int mux_begin(muxer *m);
int mux_write(muxer *m, int stream, const uint8_t *data, size_t size, int64_t pts, int64_t duration, int clock, int key);
int mux_flush(muxer *m);
int mux_end(muxer *m);
void mux_taken(muxer *m);
void mux_free(muxer *m);
int mux_sdp(muxer *m, char *text, int size);
void mux_stop(muxer *m);
void mux_nochapters(muxer *m);
int mux_copy(muxer *m, const char *in, int64_t *length);
void mux_within(muxer *m, int64_t us);
