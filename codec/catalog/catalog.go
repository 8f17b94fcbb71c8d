// Package catalog is the one list of the codecs that the server runs.
package catalog

import (
	"mixdown/codec"
	"mixdown/codec/aom"
	"mixdown/codec/ffmpeg"
	"mixdown/codec/opus"
	"mixdown/codec/vpx"
	"mixdown/codec/waveform"
	"mixdown/codec/x264"
)

// Default returns the codecs that the server runs, in order of preference: a
// room's people get the first that they can decode, so that as many as possible
// share an encoder. A new codec is one more row; codectest says whether it is
// right.
func Default() codec.Set {
	return codec.Set{
		{
			Name:            "VP8",
			Kind:            codec.Video,
			ClockRate:       90000, // RFC 7741, section 6.1
			Negotiate:       vpx.NegotiateVP8,
			Payload:         vpx.VP8Payload{},
			NewVideoDecoder: ffmpeg.NewDecoder("vp8"),
			NewVideoEncoder: vpx.NewVP8Encoder,
		},
		{
			Name:            "H264",
			Kind:            codec.Video,
			ClockRate:       90000, // RFC 6184, section 8.2.1
			Fmtp:            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
			EvenKeyframes:   true,
			Negotiate:       x264.Negotiate,
			Payload:         x264.Payload{},
			NewVideoDecoder: ffmpeg.NewDecoder("h264"),
			NewVideoEncoder: x264.NewEncoder,
		},
		{
			Name:            "VP9",
			Kind:            codec.Video,
			ClockRate:       90000, // RFC 9628, section 6.1
			Fmtp:            "profile-id=0",
			Payload:         vpx.VP9Payload{},
			NewVideoDecoder: ffmpeg.NewDecoder("vp9"),
			NewVideoEncoder: vpx.NewVP9Encoder,
		},
		{
			Name:            "AV1",
			Kind:            codec.Video,
			ClockRate:       90000, // AV1's RTP payload format, section 7.1
			Fmtp:            "profile=0;level-idx=5;tier=0",
			Payload:         aom.Payload{},
			NewVideoDecoder: ffmpeg.NewDecoder("libdav1d"),
			NewVideoEncoder: aom.NewEncoder,
		},
		{
			Name:            "opus",
			Kind:            codec.Audio,
			ClockRate:       48000, // RFC 7587, section 4.1, whatever the sound's own rate
			Channels:        2,     // section 7, whatever the sound's own channels
			Fmtp:            "minptime=10;useinbandfec=1",
			Payload:         opus.Payload{},
			NewAudioDecoder: opus.NewDecoder,
			NewAudioEncoder: opus.NewEncoder,
		},
		plain("G722", 9, 8000, waveform.G722()), // clocked at half its rate (RFC 3551, section 4.5.2)
		plain("PCMU", 0, 8000, waveform.PCMU()),
		plain("PCMA", 8, 8000, waveform.PCMA()),
		{
			Name:            "L16",
			Kind:            codec.Audio,
			ClockRate:       48000,
			Channels:        2,
			Reach:           codec.Inside,
			Constant:        48000 * 2 * 16,
			Payload:         waveform.L16().Payload(),
			NewAudioDecoder: waveform.L16().NewDecoder,
			NewAudioEncoder: waveform.L16().NewEncoder,
		},
	}
}

// plain is a row for telephones, of a payload type that RFC 3551 gives it.
func plain(name string, static uint8, clock uint32, f waveform.Format) *codec.Codec {
	return &codec.Codec{
		Name: name, Kind: codec.Audio, ClockRate: clock, Channels: 1,
		Reach: codec.Legs, Constant: 64_000, Static: &static,
		Payload: f.Payload(), NewAudioDecoder: f.NewDecoder, NewAudioEncoder: f.NewEncoder,
	}
}
