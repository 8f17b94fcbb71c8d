#include "media.h"

#include <limits.h>
#include <stdlib.h>

#include <libavutil/channel_layout.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/time.h>

#include "_cgo_export.h"

enum { io_size = 32 << 10 };

static int give_up(void *opaque)
{
	demux *d = opaque;
	int64_t until = atomic_load(&d->until);
	return atomic_load(&d->stop) || (until && av_gettime_relative() > until);
}

static int io_read(void *opaque, uint8_t *buf, int size)
{
	int n = demuxRead((uintptr_t)opaque, buf, size);
	if (n == 0)
		return AVERROR_EOF;
	return n < 0 ? AVERROR(EIO) : n;
}

static int64_t io_seek(void *opaque, int64_t offset, int whence)
{
	int64_t at = demuxSeek((uintptr_t)opaque, offset, whence);
	return at < 0 ? AVERROR(EIO) : at;
}

// io_new takes over reader, also when it fails.
static AVIOContext *io_new(uintptr_t reader, int seekable)
{
	uint8_t *buf = av_malloc(io_size);
	AVIOContext *io = buf ? avio_alloc_context(buf, io_size, 0, (void *)reader, io_read, NULL, seekable ? io_seek : NULL) : NULL;
	if (!io) {
		av_free(buf);
		demuxDrop(reader);
	}
	return io;
}

static void io_free(AVIOContext **io)
{
	if (!*io)
		return;
	demuxDrop((uintptr_t)(*io)->opaque);
	av_freep(&(*io)->buffer);
	avio_context_free(io);
}

static int64_t number(AVDictionary **options, const char *key)
{
	AVDictionaryEntry *e = options ? av_dict_get(*options, key, NULL, 0) : NULL;
	return e ? strtoll(e->value, NULL, 10) : 0;
}

// nested_open opens what a playlist names, the way that Go opens it: libavformat
// itself connects to nothing.
static int nested_open(AVFormatContext *s, AVIOContext **io, const char *url, int flags, AVDictionary **options)
{
	demux *d = s->opaque;
	if (!d || !d->opener || flags & AVIO_FLAG_WRITE || give_up(d))
		return AVERROR(EPERM);
	uintptr_t reader = demuxOpen(d->opener, (char *)url, number(options, "offset"), number(options, "end_offset"));
	if (!reader)
		return AVERROR(EIO);
	*io = io_new(reader, 0);
	return *io ? 0 : AVERROR(ENOMEM);
}

static int nested_close(AVFormatContext *s, AVIOContext *io)
{
	io_free(&io);
	return 0;
}

demux *demux_new(void)
{
	demux *d = av_mallocz(sizeof(*d));
	if (d)
		d->video = d->audio = -1;
	return d;
}

// demux_allow sets how long what follows may block.
void demux_allow(demux *d, int64_t microseconds)
{
	atomic_store(&d->until, av_gettime_relative() + microseconds);
}

void demux_stop(demux *d)
{
	atomic_store(&d->stop, 1);
}

int demux_stopped(demux *d)
{
	return atomic_load(&d->stop);
}

// demux_open takes over reader, also when it fails; opener stays the caller's.
int demux_open(demux *d, const char *url, uintptr_t reader, int seekable, uintptr_t opener, AVDictionary **options)
{
	d->opener = opener;
	if (reader && !(d->io = io_new(reader, seekable)))
		return AVERROR(ENOMEM);
	if (!(d->format = avformat_alloc_context()))
		return AVERROR(ENOMEM);
	d->format->opaque = d;
	d->format->interrupt_callback = (AVIOInterruptCB){give_up, d};
	if (d->io) {
		d->format->pb = d->io;
		d->format->io_open = nested_open;
		d->format->io_close2 = nested_close;
	}
	int err = avformat_open_input(&d->format, url, NULL, options); // frees the context when it fails
	if (err < 0)
		return err;
	if ((err = avformat_find_stream_info(d->format, NULL)) < 0)
		return err;
	d->video = av_find_best_stream(d->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
	d->audio = av_find_best_stream(d->format, AVMEDIA_TYPE_AUDIO, -1, d->video, NULL, 0);
	// A cover of an album is a picture, too, but comes once and first.
	for (unsigned i = 0; i < d->format->nb_streams; i++)
		if ((int)i != d->video && (int)i != d->audio)
			d->format->streams[i]->discard = AVDISCARD_ALL;
	return 0;
}

int demux_read(demux *d, AVPacket *p)
{
	for (;;) {
		int err = av_read_frame(d->format, p);
		if (err < 0 || p->stream_index == d->video || p->stream_index == d->audio)
			return err;
		av_packet_unref(p);
	}
}

int demux_seek(demux *d, int64_t microseconds)
{
	if (d->format->start_time != AV_NOPTS_VALUE)
		microseconds += d->format->start_time;
	return avformat_seek_file(d->format, -1, INT64_MIN, microseconds, microseconds, 0);
}

void demux_free(demux *d)
{
	if (!d)
		return;
	avformat_close_input(&d->format);
	io_free(&d->io);
	av_free(d);
}

// demux_time brings a stream's time to microseconds since the beginning.
int64_t demux_time(demux *d, int stream, int64_t ts)
{
	if (ts == AV_NOPTS_VALUE)
		return ts;
	ts = av_rescale_q(ts, d->format->streams[stream]->time_base, AV_TIME_BASE_Q);
	return d->format->start_time == AV_NOPTS_VALUE ? ts : ts - d->format->start_time;
}

// demux_rotation is how many quarters the pictures are to be turned clockwise.
int demux_rotation(demux *d)
{
	const uint8_t *matrix = av_stream_get_side_data(d->format->streams[d->video], AV_PKT_DATA_DISPLAYMATRIX, NULL);
	if (!matrix)
		return 0;
	double degrees = -av_display_rotation_get((const int32_t *)matrix);
	if (!(degrees > -400 && degrees < 400))
		return 0;
	return ((int)(degrees / 90 + (degrees < 0 ? -0.5 : 0.5)) + 4) & 3;
}

static int codec_open(AVCodecContext **ctx, demux *d, int stream, AVDictionary **options)
{
	AVStream *s = d->format->streams[stream];
	const AVCodec *codec = avcodec_find_decoder(s->codecpar->codec_id);
	if (!codec)
		return AVERROR_DECODER_NOT_FOUND;
	if (!(*ctx = avcodec_alloc_context3(codec)))
		return AVERROR(ENOMEM);
	int err = avcodec_parameters_to_context(*ctx, s->codecpar);
	if (err < 0)
		return err;
	(*ctx)->pkt_timebase = s->time_base;
	(*ctx)->thread_count = 1;
	return avcodec_open2(*ctx, codec, options);
}

int pictures_open(pictures *s, demux *d, int64_t max_decoded, int64_t max)
{
	AVDictionary *options = NULL;
	s->max = max;
	if (!(s->frame = av_frame_alloc()))
		return AVERROR(ENOMEM);
	av_dict_set_int(&options, "max_pixels", max_decoded, 0);
	int err = codec_open(&s->codec, d, d->video, &options);
	av_dict_free(&options);
	return err;
}

// shown_size is the size that a decoded picture is handed out at: square pixels,
// within the limit.
static void shown_size(pictures *s, int *width, int *height)
{
	AVFrame *f = s->frame;
	double w = f->width, h = f->height;
	AVRational sar = f->sample_aspect_ratio.num > 0 ? f->sample_aspect_ratio : s->codec->sample_aspect_ratio;
	if (sar.num > 0 && sar.den > 0) {
		double ratio = av_q2d(sar);
		if (ratio > 0.2 && ratio < 5 && ratio != 1)
			w *= ratio;
	}
	while (w * h > (double)s->max) {
		w *= 0.99;
		h *= 0.99;
	}
	if (w == f->width && h == f->height) {
		*width = f->width;
		*height = f->height;
		return;
	}
	*width = FFMAX((int)(w / 2 + 0.5) * 2, 2);
	*height = FFMAX((int)(h / 2 + 0.5) * 2, 2);
}

// pictures_receive hands out the next picture, which the caller frees.
int pictures_receive(pictures *s, AVFrame **out)
{
	int err = avcodec_receive_frame(s->codec, s->frame);
	if (err < 0)
		return err;
	AVFrame *f = s->frame;
	int width, height;
	shown_size(s, &width, &height);
	int plain = f->format == AV_PIX_FMT_YUV420P || f->format == AV_PIX_FMT_YUVJ420P;
	if (plain && width == f->width && height == f->height) {
		*out = f;
		return (s->frame = av_frame_alloc()) ? 0 : AVERROR(ENOMEM);
	}
	s->scale = sws_getCachedContext(s->scale, f->width, f->height, f->format, width, height, AV_PIX_FMT_YUV420P, SWS_AREA, NULL, NULL, NULL);
	AVFrame *made = av_frame_alloc();
	if (!made || !s->scale) {
		av_frame_free(&made);
		return AVERROR(EINVAL);
	}
	int full = f->color_range == AVCOL_RANGE_JPEG || f->format == AV_PIX_FMT_YUVJ420P || f->format == AV_PIX_FMT_YUVJ422P || f->format == AV_PIX_FMT_YUVJ444P;
	const int *matrix = sws_getCoefficients(SWS_CS_DEFAULT);
	sws_setColorspaceDetails(s->scale, matrix, full, matrix, 0, 0, 1 << 16, 1 << 16);
	made->format = AV_PIX_FMT_YUV420P;
	made->width = width;
	made->height = height;
	made->color_range = AVCOL_RANGE_MPEG;
	made->best_effort_timestamp = f->best_effort_timestamp;
	if ((err = av_frame_get_buffer(made, 0)) < 0 ||
	    (err = sws_scale(s->scale, (const uint8_t *const *)f->data, f->linesize, 0, f->height, made->data, made->linesize)) < 0) {
		av_frame_free(&made);
		av_frame_unref(f);
		return err;
	}
	av_frame_unref(f);
	*out = made;
	return 0;
}

void pictures_free(pictures *s)
{
	avcodec_free_context(&s->codec);
	av_frame_free(&s->frame);
	sws_freeContext(s->scale);
	s->scale = NULL;
}

int sound_open(sound *s, demux *d, int rate, int channels)
{
	s->rate = rate;
	s->channels = channels;
	if (!(s->frame = av_frame_alloc()))
		return AVERROR(ENOMEM);
	return codec_open(&s->codec, d, d->audio, NULL);
}

// adapt makes a resampler for what the decoder gives.
static int adapt(sound *s)
{
	AVFrame *f = s->frame;
	AVChannelLayout from = {0}, to;
	int err = av_channel_layout_copy(&from, &f->ch_layout);
	if (err < 0)
		return err;
	if (from.order == AV_CHANNEL_ORDER_UNSPEC) {
		int n = from.nb_channels;
		av_channel_layout_uninit(&from);
		av_channel_layout_default(&from, n);
	}
	uint64_t mask = from.order == AV_CHANNEL_ORDER_NATIVE ? from.u.mask : 0;
	if (s->resample && s->from_rate == f->sample_rate && s->from_format == f->format && s->from_channels == from.nb_channels && s->from_mask == mask) {
		av_channel_layout_uninit(&from);
		return 0;
	}
	swr_free(&s->resample);
	av_channel_layout_default(&to, s->channels);
	err = swr_alloc_set_opts2(&s->resample, &to, AV_SAMPLE_FMT_S16, s->rate, &from, f->format, f->sample_rate, 0, NULL);
	if (err >= 0)
		err = swr_init(s->resample);
	if (err < 0)
		swr_free(&s->resample);
	s->from_rate = f->sample_rate;
	s->from_format = f->format;
	s->from_channels = from.nb_channels;
	s->from_mask = mask;
	av_channel_layout_uninit(&from);
	return err;
}

// sound_receive takes the next decoded frame, for sound_convert.
int sound_receive(sound *s)
{
	int err = avcodec_receive_frame(s->codec, s->frame);
	return err < 0 ? err : adapt(s);
}

// sound_room is how many samples per channel sound_convert may give.
int sound_room(sound *s)
{
	return swr_get_out_samples(s->resample, s->frame->nb_samples);
}

// sound_convert returns the number of samples per channel.
int sound_convert(sound *s, int16_t *out, int room)
{
	uint8_t *to[1] = {(uint8_t *)out};
	int n = swr_convert(s->resample, to, room, (const uint8_t **)s->frame->extended_data, s->frame->nb_samples);
	av_frame_unref(s->frame);
	return n;
}

void sound_free(sound *s)
{
	avcodec_free_context(&s->codec);
	av_frame_free(&s->frame);
	swr_free(&s->resample);
}
