package ffmpeg

/*
#include <stdint.h>
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"io"
	"runtime/cgo"
	"unsafe"

	"mixdown/codec"
)

// spring is a reader that libavformat draws from through the functions below.
// C holds it by a handle.
type spring struct {
	io.Reader
	seeker io.Seeker
	closer io.Closer
}

func newSpring(r io.Reader) *spring {
	s := &spring{Reader: r}
	s.seeker, _ = r.(io.Seeker)
	s.closer, _ = r.(io.Closer)
	return s
}

// seekSize is libavformat's question for the size (AVSEEK_SIZE), and seekForce
// what it adds to whence (AVSEEK_FORCE).
const seekSize, seekForce = 0x10000, 0x20000

// demuxRead returns the number of bytes, 0 at the end, -1 after an error.
//
//export demuxRead
func demuxRead(handle C.uintptr_t, buf *C.uint8_t, n C.int) C.int {
	s := cgo.Handle(handle).Value().(*spring)
	got, err := io.ReadAtLeast(s, unsafe.Slice((*byte)(buf), int(n)), 1)
	switch {
	case got > 0:
		return C.int(got)
	case errors.Is(err, io.EOF):
		return 0
	}
	return -1
}

// demuxSeek returns the new place, or the size, or -1.
//
//export demuxSeek
func demuxSeek(handle C.uintptr_t, offset C.int64_t, whence C.int) C.int64_t {
	s := cgo.Handle(handle).Value().(*spring)
	if s.seeker == nil {
		return -1
	}
	whence &^= seekForce
	if whence == seekSize {
		size, err := sizeOf(s.seeker)
		if err != nil {
			return -1
		}
		return C.int64_t(size)
	}
	if whence < io.SeekStart || whence > io.SeekEnd {
		return -1
	}
	at, err := s.seeker.Seek(int64(offset), int(whence))
	if err != nil {
		return -1
	}
	return C.int64_t(at)
}

func sizeOf(s io.Seeker) (int64, error) {
	here, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	size, err := s.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	_, err = s.Seek(here, io.SeekStart)
	return size, err
}

// demuxOpen returns the handle of what a playlist names, or 0.
//
//export demuxOpen
func demuxOpen(opener C.uintptr_t, url *C.char, offset, end C.int64_t) C.uintptr_t {
	open := cgo.Handle(opener).Value().(func(string, int64, int64) (io.ReadCloser, error))
	r, err := open(C.GoString(url), int64(offset), int64(end))
	if err != nil {
		return 0
	}
	return C.uintptr_t(cgo.NewHandle(newSpring(r)))
}

// demuxDrop closes what a handle stands for.
//
//export demuxDrop
func demuxDrop(handle C.uintptr_t) {
	if handle == 0 {
		return
	}
	h := cgo.Handle(handle)
	s := h.Value().(*spring)
	h.Delete()
	if s.closer != nil {
		s.closer.Close()
	}
}

// turned returns f turned clockwise by quarters. The reference passes on.
func turned(f *codec.Frame, quarters int) *codec.Frame {
	if quarters == 0 {
		return f
	}
	defer f.Release()
	w, h := f.Width, f.Height
	if quarters%2 == 1 {
		w, h = h, w
	}
	out := codec.NewFrame(w, h)
	out.FullRange = f.FullRange
	turnPlane(out.Y, out.YStride, f.Y, f.YStride, f.Width, f.Height, quarters)
	cw, ch := (f.Width+1)/2, (f.Height+1)/2
	turnPlane(out.U, out.UVStride, f.U, f.UVStride, cw, ch, quarters)
	turnPlane(out.V, out.UVStride, f.V, f.UVStride, cw, ch, quarters)
	return out
}

func turnPlane(dst []byte, dstStride int, src []byte, srcStride, w, h, quarters int) {
	for y := range h {
		row := src[y*srcStride : y*srcStride+w]
		at, step := 0, 0
		switch quarters {
		case 1:
			at, step = h-1-y, dstStride
		case 2:
			at, step = (h-1-y)*dstStride+w-1, -1
		case 3:
			at, step = (w-1)*dstStride+y, -dstStride
		}
		for _, v := range row {
			dst[at] = v
			at += step
		}
	}
}
