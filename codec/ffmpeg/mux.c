#include <errno.h>
#include <string.h>

#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>

#include "mux.h"

static int take(void *opaque, uint8_t *data, int size)
{
	muxer *m = opaque;

	if (m->size + size > m->room) {
		size_t room = (m->size + size) * 2;
		uint8_t *out = av_realloc(m->out, room);
		if (!out)
			return AVERROR(ENOMEM);
		m->out = out;
		m->room = room;
	}
	piece *last = m->n ? &m->pieces[m->n - 1] : NULL;
	if (!last || last->at + (int64_t)last->size != m->at) {
		if (m->n == m->most) {
			int most = m->most * 2 + 8;
			piece *pieces = av_realloc(m->pieces, most * sizeof *pieces);
			if (!pieces)
				return AVERROR(ENOMEM);
			m->pieces = pieces;
			m->most = most;
		}
		last = &m->pieces[m->n++];
		last->at = m->at;
		last->size = 0;
	}
	memcpy(m->out + m->size, data, size);
	m->size += size;
	last->size += size;
	m->at += size;
	if (m->at > m->end)
		m->end = m->at;
	return size;
}

static int64_t move(void *opaque, int64_t to, int whence)
{
	muxer *m = opaque;

	switch (whence & ~AVSEEK_FORCE) {
	case AVSEEK_SIZE:
		return m->end;
	case SEEK_CUR:
		to += m->at;
		break;
	case SEEK_END:
		to += m->end;
		break;
	}
	if (to < 0)
		return AVERROR(EINVAL);
	return m->at = to;
}

static int interrupted(void *opaque)
{
	muxer *m = opaque;
	long long deadline = atomic_load(&m->deadline);

	return atomic_load(&m->stop) || (deadline && av_gettime_relative() > deadline);
}

int mux_open(muxer *m, const char *format, const char *address, int seekable)
{
	const int buffer = 32 << 10;
	int err = avformat_alloc_output_context2(&m->fc, NULL, format, address);

	if (err < 0)
		return err;
	m->packet = av_packet_alloc();
	if (!m->packet)
		return AVERROR(ENOMEM);
	m->fc->interrupt_callback = (AVIOInterruptCB){interrupted, m};
	m->fc->max_interleave_delta = 500000; // µs that one track may wait for another
	m->fc->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
	m->fc->flags |= AVFMT_FLAG_BITEXACT; // no name of the library in the file
	if (address)
		return 0; // opened by mux_begin, whose options it takes
	uint8_t *b = av_malloc(buffer);
	if (!b)
		return AVERROR(ENOMEM);
	m->fc->pb = avio_alloc_context(b, buffer, 1, m, NULL, take, seekable ? move : NULL);
	if (!m->fc->pb) {
		av_free(b);
		return AVERROR(ENOMEM);
	}
	m->own = 1;
	m->fc->flags |= AVFMT_FLAG_CUSTOM_IO;
	return 0;
}

int mux_option(muxer *m, const char *key, const char *value)
{
	return av_dict_set(&m->options, key, value, 0);
}

int mux_tag(muxer *m, const char *key, const char *value)
{
	return av_dict_set(&m->fc->metadata, key, value, 0);
}

int mux_chapter(muxer *m, int64_t from, int64_t to, const char *title)
{
	AVFormatContext *fc = m->fc;
	AVChapter **all = av_realloc_array(fc->chapters, fc->nb_chapters + 1, sizeof *all);

	if (!all)
		return AVERROR(ENOMEM);
	fc->chapters = all;
	AVChapter *c = av_mallocz(sizeof *c);
	if (!c)
		return AVERROR(ENOMEM);
	c->id = fc->nb_chapters + 1;
	c->time_base = (AVRational){1, 1000};
	c->start = from;
	c->end = to;
	all[fc->nb_chapters++] = c;
	return av_dict_set(&c->metadata, "title", title, 0);
}

int mux_add(muxer *m, const char *codec, int clock, int width, int height, int rate, int channels, int64_t bitrate)
{
	const AVCodecDescriptor *d = avcodec_descriptor_get_by_name(codec);

	if (!d)
		return AVERROR_DECODER_NOT_FOUND;
	AVStream *s = avformat_new_stream(m->fc, NULL);
	if (!s)
		return AVERROR(ENOMEM);
	AVCodecParameters *p = s->codecpar;
	s->time_base = (AVRational){1, clock};
	p->codec_id = d->id;
	p->codec_type = d->type;
	p->bit_rate = bitrate;
	if (d->type == AVMEDIA_TYPE_VIDEO) {
		p->width = width;
		p->height = height;
		p->format = AV_PIX_FMT_YUV420P;
	} else {
		p->sample_rate = rate;
		av_channel_layout_default(&p->ch_layout, channels);
		p->format = AV_SAMPLE_FMT_S16;
		p->bits_per_coded_sample = av_get_bits_per_sample(d->id);
		p->block_align = p->bits_per_coded_sample * channels / 8;
		if (d->id == AV_CODEC_ID_AAC)
			p->frame_size = 1024;
		if (d->id == AV_CODEC_ID_OPUS)
			p->frame_size = 960;
	}
	return s->index;
}

int mux_extra(muxer *m, int stream, const uint8_t *data, size_t size, int padding)
{
	AVCodecParameters *p = m->fc->streams[stream]->codecpar;

	av_freep(&p->extradata);
	p->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
	if (!p->extradata)
		return AVERROR(ENOMEM);
	memcpy(p->extradata, data, size);
	p->extradata_size = size;
	p->initial_padding = padding;
	return 0;
}

// fill makes the packet hold a copy of data, with the padding that readers want.
static int fill(muxer *m, const uint8_t *data, size_t size)
{
	int err = av_new_packet(m->packet, size);

	if (err >= 0)
		memcpy(m->packet->data, data, size);
	return err;
}

// mux_extract takes a stream's parameters out of its first keyframe. It returns
// how many bytes they are.
int mux_extract(muxer *m, int stream, const uint8_t *data, size_t size)
{
	AVCodecParameters *p = m->fc->streams[stream]->codecpar;
	AVBSFContext *f = NULL;
	size_t found = 0;
	int err = av_bsf_alloc(av_bsf_get_by_name("extract_extradata"), &f);

	if (err < 0)
		return err;
	if ((err = avcodec_parameters_copy(f->par_in, p)) < 0 || (err = av_bsf_init(f)) < 0)
		goto end;
	if ((err = fill(m, data, size)) < 0)
		goto end;
	if ((err = av_bsf_send_packet(f, m->packet)) < 0 || (err = av_bsf_receive_packet(f, m->packet)) < 0)
		goto end;
	const uint8_t *side = av_packet_get_side_data(m->packet, AV_PKT_DATA_NEW_EXTRADATA, &found);
	if (side)
		err = mux_extra(m, stream, side, found, 0);
end:
	av_packet_unref(m->packet);
	av_bsf_free(&f);
	return err < 0 ? err : (int)found;
}

int mux_begin(muxer *m)
{
	int err = 0;

	if (!m->own && !(m->fc->oformat->flags & AVFMT_NOFILE))
		err = avio_open2(&m->fc->pb, m->fc->url, AVIO_FLAG_WRITE, &m->fc->interrupt_callback, &m->options);
	if (err >= 0)
		err = avformat_write_header(m->fc, &m->options);
	if (err >= 0)
		m->header = 1;
	return err;
}

int mux_write(muxer *m, int stream, const uint8_t *data, size_t size, int64_t pts, int64_t duration, int clock, int key)
{
	int err = fill(m, data, size);

	if (err < 0)
		return err;
	m->packet->stream_index = stream;
	m->packet->pts = m->packet->dts = pts;
	m->packet->duration = duration;
	if (key)
		m->packet->flags |= AV_PKT_FLAG_KEY;
	av_packet_rescale_ts(m->packet, (AVRational){1, clock}, m->fc->streams[stream]->time_base);
	return av_interleaved_write_frame(m->fc, m->packet);
}

int mux_flush(muxer *m)
{
	int err = av_interleaved_write_frame(m->fc, NULL);

	// The first time, MP4 writes what is before the first fragment only.
	for (int i = 0; i < 2 && err >= 0; i++)
		err = av_write_frame(m->fc, NULL);
	if (m->fc->pb) {
		avio_flush(m->fc->pb);
		if (err >= 0)
			err = m->fc->pb->error;
	}
	return err < 0 ? err : 0;
}

int mux_end(muxer *m)
{
	int err = 0;

	if (m->header) {
		m->header = 0;
		err = av_write_trailer(m->fc);
		if (m->fc->pb)
			avio_flush(m->fc->pb);
	}
	return err;
}

void mux_taken(muxer *m)
{
	m->size = 0;
	m->n = 0;
}

int mux_sdp(muxer *m, char *text, int size)
{
	return av_sdp_create(&m->fc, 1, text, size);
}

void mux_free(muxer *m)
{
	if (m->fc) {
		if (m->own) {
			av_freep(&m->fc->pb->buffer);
			avio_context_free(&m->fc->pb);
		} else if (!(m->fc->oformat->flags & AVFMT_NOFILE)) {
			avio_closep(&m->fc->pb);
		}
		avformat_free_context(m->fc);
		m->fc = NULL;
	}
	av_packet_free(&m->packet);
	av_dict_free(&m->options);
	av_freep(&m->out);
	av_freep(&m->pieces);
}

// mux_stop ends what another thread waits for in m, and all that comes after.
void mux_stop(muxer *m)
{
	atomic_store(&m->stop, 1);
}

// mux_within bounds what is waited for in m from now on; 0 is no bound.
void mux_within(muxer *m, int64_t us)
{
	atomic_store(&m->deadline, us ? av_gettime_relative() + us : 0);
}

void mux_nochapters(muxer *m)
{
	AVFormatContext *fc = m->fc;

	for (unsigned i = 0; i < fc->nb_chapters; i++) {
		av_dict_free(&fc->chapters[i]->metadata);
		av_freep(&fc->chapters[i]);
	}
	av_freep(&fc->chapters);
	fc->nb_chapters = 0;
}

// mux_copy fills m, which is open and has no streams, with all that can be read
// of a file. A file that ends in the middle of something ends before it.
int mux_copy(muxer *m, const char *in, int64_t *length)
{
	AVFormatContext *from = avformat_alloc_context();
	int map[8], err;
	int64_t end = 0;

	if (!from)
		return AVERROR(ENOMEM);
	// Else all fragments of an MP4 are gone through first, and one that was cut
	// off is an error of the whole file.
	from->flags |= AVFMT_FLAG_IGNIDX;
	if ((err = avformat_open_input(&from, in, NULL, NULL)) < 0)
		return err;
	if ((err = avformat_find_stream_info(from, NULL)) < 0)
		goto end;
	for (unsigned i = 0; i < from->nb_streams; i++) {
		AVCodecParameters *p = from->streams[i]->codecpar;
		if (i < 8)
			map[i] = -1;
		if (i >= 8 || (p->codec_type != AVMEDIA_TYPE_VIDEO && p->codec_type != AVMEDIA_TYPE_AUDIO))
			continue;
		AVStream *s = avformat_new_stream(m->fc, NULL);
		if (!s) {
			err = AVERROR(ENOMEM);
			goto end;
		}
		if ((err = avcodec_parameters_copy(s->codecpar, p)) < 0)
			goto end;
		s->codecpar->codec_tag = 0; // the container's own
		s->time_base = from->streams[i]->time_base;
		map[i] = s->index;
	}
	if ((err = av_dict_copy(&m->fc->metadata, from->metadata, 0)) < 0)
		goto end;
	if ((err = mux_begin(m)) < 0)
		goto end;
	int64_t flushed = 0;
	while (av_read_frame(from, m->packet) >= 0) {
		int i = m->packet->stream_index;
		if (i >= 8 || map[i] < 0 || (m->packet->flags & AV_PKT_FLAG_CORRUPT)) {
			av_packet_unref(m->packet);
			continue;
		}
		AVRational base = from->streams[i]->time_base;
		int64_t at = av_rescale_q(m->packet->pts + m->packet->duration, base, AV_TIME_BASE_Q);
		if (m->packet->pts != AV_NOPTS_VALUE && at > end)
			end = at;
		av_packet_rescale_ts(m->packet, base, m->fc->streams[map[i]]->time_base);
		m->packet->stream_index = map[i];
		m->packet->pos = -1;
		if ((err = av_interleaved_write_frame(m->fc, m->packet)) < 0)
			goto end;
		if (end - flushed > 1000000) {
			flushed = end;
			if ((err = mux_flush(m)) < 0)
				goto end;
		}
	}
	err = mux_end(m);
	*length = end;
end:
	avformat_close_input(&from);
	return err;
}
