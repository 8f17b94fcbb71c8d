package ffmpeg

/*
#include "media.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"

	"github.com/asticode/go-astiav"

	"mixdown/codec"
)

// maxDecoded is how many times larger than what is handed out a picture may be
// that is decoded: photographs are.
const maxDecoded = 8

// Pictures implements codec.MediaPictures.
type Pictures struct {
	media *Media
	s     C.pictures
	open  bool
	turn  int
	last  time.Duration // of the newest picture
	every time.Duration // from one to the next, where they carry no times
}

// NewPictures implements codec.Media. Pictures of more than maxPixels come out
// smaller, and far larger ones are refused.
func (m *Media) NewPictures(maxPixels int) (codec.MediaPictures, error) {
	if m.d.video < 0 {
		return nil, errors.New("there are no pictures in it")
	}
	s := &Pictures{media: m, open: true, turn: int(C.demux_rotation(m.d)), last: unknown, every: 40 * time.Millisecond}
	if r := m.info.FrameRate; r > 0 {
		s.every = time.Duration(float64(time.Second) / r)
	}
	if code := C.pictures_open(&s.s, m.d, C.int64_t(maxPixels)*maxDecoded, C.int64_t(maxPixels)); code < 0 {
		return nil, errors.Join(fmt.Errorf("decoder of %s: %w", m.info.Pictures, astiav.Error(code)), s.Close())
	}
	return s, nil
}

// Decode implements codec.MediaPictures.
func (s *Pictures) Decode(p codec.MediaPacket, dst []codec.MediaPicture) ([]codec.MediaPicture, error) {
	code := C.avcodec_send_packet(s.s.codec, raw(p))
	for code >= 0 {
		var av *C.AVFrame
		if code = C.pictures_receive(&s.s, &av); code < 0 {
			break
		}
		at := s.media.time(s.media.d.video, av.best_effort_timestamp)
		if at == unknown {
			at = max(0, s.last+s.every)
		}
		f, err := view(av, func() { C.av_frame_free(&av) })
		if err != nil {
			return dst, err
		}
		s.last = at
		dst = append(dst, codec.MediaPicture{Frame: turned(f, s.turn), At: at})
	}
	if code < 0 && code != C.code_end && code != C.code_again {
		return dst, fmt.Errorf("decode %s: %w", s.media.info.Pictures, astiav.Error(code))
	}
	return dst, nil
}

// Flush implements codec.MediaPictures.
func (s *Pictures) Flush() {
	C.avcodec_flush_buffers(s.s.codec)
	s.last = unknown
}

// Close implements codec.MediaPictures.
func (s *Pictures) Close() error {
	if s.open {
		s.open = false
		C.pictures_free(&s.s)
	}
	return nil
}
