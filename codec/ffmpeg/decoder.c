#include "decoder.h"

// decoder_open begins anew.
int decoder_open(decoder *d, const char *name, int64_t max_pixels)
{
	avcodec_free_context(&d->codec);
	const AVCodec *codec = avcodec_find_decoder_by_name(name);
	if (!codec)
		return AVERROR_DECODER_NOT_FOUND;
	if (!d->packet && !(d->packet = av_packet_alloc()))
		return AVERROR(ENOMEM);
	if (!(d->codec = avcodec_alloc_context3(codec)))
		return AVERROR(ENOMEM);
	d->codec->thread_count = 1; // frame threads add a frame of delay each
	d->codec->flags |= AV_CODEC_FLAG_LOW_DELAY;
	d->codec->max_pixels = max_pixels;
	int err = avcodec_open2(d->codec, codec, NULL);
	if (err < 0)
		avcodec_free_context(&d->codec);
	return err;
}

// decoder_decode gives the newest picture that data completed, which the caller
// frees, or none, so that no decoder ever runs a picture behind. data is copied,
// with the padding that libavcodec's readers want.
int decoder_decode(decoder *d, const uint8_t *data, int size, int filtered, AVFrame **newest)
{
	d->codec->skip_loop_filter = filtered ? AVDISCARD_DEFAULT : AVDISCARD_NONKEY;
	d->packet->data = (uint8_t *)data;
	d->packet->size = size;
	int err = avcodec_send_packet(d->codec, d->packet);
	av_packet_unref(d->packet); // it never owned them
	while (err >= 0) {
		if (!d->spare && !(d->spare = av_frame_alloc())) {
			err = AVERROR(ENOMEM);
			break;
		}
		if ((err = avcodec_receive_frame(d->codec, d->spare)) == AVERROR(EAGAIN))
			return 0;
		if (err < 0)
			break;
		av_frame_free(newest);
		*newest = d->spare;
		d->spare = NULL;
	}
	av_frame_free(newest);
	return err;
}

void decoder_close(decoder *d)
{
	avcodec_free_context(&d->codec);
	av_packet_free(&d->packet);
	av_frame_free(&d->spare);
}
