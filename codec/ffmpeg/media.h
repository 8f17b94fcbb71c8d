#ifndef MIXDOWN_MEDIA_H
#define MIXDOWN_MEDIA_H

#include <stdatomic.h>
#include <stdint.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>

// Codes that Go tells apart; AVERROR's own are no constants to it.
enum { code_end = AVERROR_EOF, code_again = AVERROR(EAGAIN), code_stopped = AVERROR_EXIT };

// demux is one opened file or stream.
typedef struct demux {
	AVFormatContext *format;
	AVIOContext *io;       // over a Go reader; NULL: libavformat's own
	uintptr_t opener;      // handle of what opens nested addresses; 0: nothing does
	atomic_int stop;       // whoever blocks gives up
	_Atomic int64_t until; // time on libav's clock at which it gives up as well; 0: never
	int video, audio;      // streams; -1: there is none
} demux;

demux *demux_new(void);
int demux_open(demux *d, const char *url, uintptr_t reader, int seekable, uintptr_t opener, AVDictionary **options);
int demux_read(demux *d, AVPacket *p);
int demux_seek(demux *d, int64_t microseconds);
void demux_free(demux *d);
int64_t demux_time(demux *d, int stream, int64_t ts);
int demux_rotation(demux *d);
void demux_allow(demux *d, int64_t microseconds);
void demux_stop(demux *d);
int demux_stopped(demux *d);

// pictures decodes and brings everything to 8-bit 4:2:0.
typedef struct pictures {
	AVCodecContext *codec;
	AVFrame *frame;
	struct SwsContext *scale;
	int64_t max; // luma samples of what it hands out
} pictures;

int pictures_open(pictures *s, demux *d, int64_t max_decoded, int64_t max);
int pictures_receive(pictures *s, AVFrame **out);
void pictures_free(pictures *s);

// sound decodes and brings everything to one rate and number of channels.
typedef struct sound {
	AVCodecContext *codec;
	AVFrame *frame;
	SwrContext *resample;
	int rate, channels;           // to make
	int from_rate, from_channels; // what resample takes
	int from_format;
	uint64_t from_mask;
} sound;

int sound_open(sound *s, demux *d, int rate, int channels);
int sound_receive(sound *s);
int sound_room(sound *s);
int sound_convert(sound *s, int16_t *out, int room);
void sound_free(sound *s);

#endif
