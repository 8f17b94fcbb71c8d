package ffmpeg

/*
#include "media.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/asticode/go-astiav"

	"mixdown/codec"
)

// Sound implements codec.MediaSound.
type Sound struct {
	media  *Media
	s      C.sound
	open   bool
	format codec.AudioFormat
}

// NewSound implements codec.Media.
func (m *Media) NewSound(format codec.AudioFormat) (codec.MediaSound, error) {
	if m.d.audio < 0 {
		return nil, errors.New("there is no sound in it")
	}
	s := &Sound{media: m, open: true, format: format}
	if code := C.sound_open(&s.s, m.d, C.int(format.Rate), C.int(format.Channels)); code < 0 {
		return nil, errors.Join(fmt.Errorf("decoder of %s: %w", m.info.Sound, astiav.Error(code)), s.Close())
	}
	return s, nil
}

// Decode implements codec.MediaSound.
func (s *Sound) Decode(p codec.MediaPacket, dst []int16) (pcm []int16, at time.Duration, err error) {
	at = unknown
	code := C.avcodec_send_packet(s.s.codec, raw(p))
	for code >= 0 {
		if code = C.sound_receive(&s.s); code < 0 {
			break
		}
		if at == unknown {
			at = s.media.time(s.media.d.audio, s.s.frame.best_effort_timestamp)
		}
		room := int(C.sound_room(&s.s))
		if room <= 0 {
			continue
		}
		dst = slices.Grow(dst, room*s.format.Channels)
		end := len(dst)
		if code = C.sound_convert(&s.s, (*C.int16_t)(unsafe.Pointer(unsafe.SliceData(dst[end:end+1]))), C.int(room)); code > 0 {
			dst = dst[:end+int(code)*s.format.Channels]
		}
	}
	if code < 0 && code != C.code_end && code != C.code_again {
		return dst, at, fmt.Errorf("decode %s: %w", s.media.info.Sound, astiav.Error(code))
	}
	return dst, at, nil
}

// Flush implements codec.MediaSound.
func (s *Sound) Flush() { C.avcodec_flush_buffers(s.s.codec) }

// Close implements codec.MediaSound.
func (s *Sound) Close() error {
	if s.open {
		s.open = false
		C.sound_free(&s.s)
	}
	return nil
}
