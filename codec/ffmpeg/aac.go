package ffmpeg

/*
#cgo pkg-config: libavcodec libavutil
#include <stdlib.h>
#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>

static AVCodecContext *aac_open(int rate, int channels, int64_t bitrate, int *err)
{
	const AVCodec *c = avcodec_find_encoder(AV_CODEC_ID_AAC);
	AVCodecContext *ctx = c ? avcodec_alloc_context3(c) : NULL;

	*err = AVERROR_ENCODER_NOT_FOUND;
	if (!ctx)
		return NULL;
	ctx->sample_rate = rate;
	av_channel_layout_default(&ctx->ch_layout, channels);
	ctx->sample_fmt = AV_SAMPLE_FMT_FLTP;
	ctx->bit_rate = bitrate;
	ctx->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
	ctx->time_base = (AVRational){1, rate};
	if ((*err = avcodec_open2(ctx, c, NULL)) < 0)
		avcodec_free_context(&ctx);
	return ctx;
}

// aac_encode takes one frame of interleaved samples, or NULL at the end.
static int aac_encode(AVCodecContext *ctx, const int16_t *pcm, int64_t pts, AVPacket *out)
{
	int err;

	av_packet_unref(out);
	if (pcm) {
		AVFrame *f = av_frame_alloc();
		if (!f)
			return AVERROR(ENOMEM);
		f->nb_samples = ctx->frame_size;
		f->format = ctx->sample_fmt;
		f->sample_rate = ctx->sample_rate;
		f->pts = pts;
		av_channel_layout_copy(&f->ch_layout, &ctx->ch_layout);
		err = av_frame_get_buffer(f, 0);
		int channels = ctx->ch_layout.nb_channels;
		for (int c = 0; err >= 0 && c < channels; c++)
			for (int i = 0; i < f->nb_samples; i++)
				((float *)f->extended_data[c])[i] = pcm[i * channels + c] / 32768.f;
		if (err >= 0)
			err = avcodec_send_frame(ctx, f);
		av_frame_free(&f);
	} else {
		err = avcodec_send_frame(ctx, NULL);
	}
	if (err < 0 && err != AVERROR_EOF)
		return err;
	err = avcodec_receive_packet(ctx, out);
	return err == AVERROR(EAGAIN) || err == AVERROR_EOF ? 0 : err;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/asticode/go-astiav"

	"mixdown/codec"
)

// aacFrame is how many samples an AAC frame has, and aacPadding how many its
// decoder puts before the first one.
const aacFrame, aacPadding = 1024, 1024

// AAC is a codec.AudioEncoder of AAC-LC, for files and RTMP: it has frames of
// 1024 samples, whatever AudioConfig.Frame says, and the first one comes back
// with the second.
type AAC struct {
	ctx    *C.AVCodecContext
	packet *C.AVPacket
	values int // in one frame
	pts    int64
}

// NewAAC opens an encoder. Its rate is one of ISO/IEC 14496-3's.
func NewAAC(cfg codec.AudioConfig) (codec.AudioEncoder, error) {
	astiav.SetLogLevel(astiav.LogLevelQuiet) // see Open
	var rc C.int
	ctx := C.aac_open(C.int(cfg.Rate), C.int(cfg.Channels), C.int64_t(cfg.Bitrate), &rc)
	if ctx == nil {
		return nil, fmt.Errorf("AAC encoder of %d Hz, %d channels, %d bit/s: %w", cfg.Rate, cfg.Channels, cfg.Bitrate, wrong("open", rc))
	}
	return &AAC{ctx: ctx, packet: C.av_packet_alloc(), values: aacFrame * cfg.Channels}, nil
}

// FrameSamples implements codec.Framer.
func (a *AAC) FrameSamples() int { return aacFrame }

// Header implements codec.Header: the AudioSpecificConfig.
func (a *AAC) Header() []byte {
	return C.GoBytes(unsafe.Pointer(a.ctx.extradata), a.ctx.extradata_size)
}

// Encode implements codec.AudioEncoder. The result is of the frame before, and
// empty the first time. nil, at the end, gives the last ones, call by call.
func (a *AAC) Encode(pcm []int16) ([]byte, error) {
	if a.ctx == nil {
		return nil, errors.New("encode AAC: used after Close")
	}
	var samples *C.int16_t
	if pcm != nil {
		if len(pcm) != a.values {
			return nil, fmt.Errorf("encode AAC: %d values, one frame has %d", len(pcm), a.values)
		}
		samples = (*C.int16_t)(unsafe.Pointer(unsafe.SliceData(pcm)))
	}
	if rc := C.aac_encode(a.ctx, samples, C.int64_t(a.pts), a.packet); rc < 0 {
		return nil, fmt.Errorf("encode AAC: %w", wrong("encode", rc))
	}
	a.pts += aacFrame
	return unsafe.Slice((*byte)(a.packet.data), a.packet.size), nil
}

// Close implements codec.AudioEncoder.
func (a *AAC) Close() error {
	if a.ctx != nil {
		C.avcodec_free_context(&a.ctx)
		C.av_packet_free(&a.packet)
	}
	return nil
}

// AACRow is AAC's row: no payload format of RTP, and nothing to decode with.
func AACRow() *codec.Codec {
	return &codec.Codec{Name: "AAC", Kind: codec.Audio, ClockRate: 48_000, Channels: 2, NewAudioEncoder: NewAAC}
}
