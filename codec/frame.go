package codec

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Frame is one decoded I420 picture. It is counted: whoever takes it from
// another keeps it alive with Retain and gives it back with Release. The one
// that made it holds the first reference. Planes must not be written by anyone
// but the maker, and not read after Release.
type Frame struct {
	Width, Height     int
	Y, U, V           []byte
	YStride, UVStride int
	FullRange         bool // samples use 0…255 instead of 16…235
	Timestamp         uint32
	Arrived           time.Time // when its unit's last packet came in
	Captured          time.Time // as in Unit

	refs atomic.Int32
	free func()
}

// live counts the frames that have not been released to the end.
var live atomic.Int64

// LiveFrames returns how many frames are held somewhere in the process. It
// ends at zero; tests and a metric watch it.
func LiveFrames() int64 { return live.Load() }

// NewFrame returns a frame on the Go heap, black in limited range.
// Width and height are rounded up to even.
func NewFrame(width, height int) *Frame {
	f := WrapFrame(nil)
	f.lay(make([]byte, bytesOf(width, height)), width, height)
	f.Fill(16, 128, 128)
	return f
}

// bytesOf returns how many bytes the planes of a picture take.
func bytesOf(width, height int) int { return (width + 1) &^ 1 * ((height + 1) &^ 1) * 3 / 2 }

// lay makes f one of width x height, whose planes are in buf one after the other.
func (f *Frame) lay(buf []byte, width, height int) {
	w, h := (width+1)&^1, (height+1)&^1
	f.Width, f.Height = width, height
	f.YStride, f.UVStride = w, w/2
	f.Y, f.U, f.V = buf[:w*h:w*h], buf[w*h:w*h*5/4:w*h*5/4], buf[w*h*5/4:]
}

// FramePool hands out frames in memory of earlier ones that were released, of which
// it keeps two. Its zero value is ready. (sync.Pool has one for each of Go's processors,
// which is most of what a room of fifty takes.)
type FramePool struct {
	mu   sync.Mutex
	idle [][]byte
}

// Get returns a frame of any samples: the caller writes all of them.
func (p *FramePool) Get(width, height int) *Frame {
	buf := p.take(bytesOf(width, height))
	f := WrapFrame(func() { p.put(buf) })
	f.lay(buf, width, height)
	return f
}

func (p *FramePool) take(size int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		buf := p.idle[n-1]
		p.idle[n-1] = nil
		if p.idle = p.idle[:n-1]; len(buf) == size {
			return buf
		}
	}
	return make([]byte, size)
}

func (p *FramePool) put(buf []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < 2 {
		p.idle = append(p.idle, buf)
	}
}

// WrapFrame returns a frame whose planes the caller sets; free, if not nil, is
// called at the last Release.
func WrapFrame(free func()) *Frame {
	f := &Frame{free: free}
	f.refs.Store(1)
	live.Add(1)
	return f
}

// Check says what keeps f from being read as a picture of width x height: it is of
// another size, or its planes end before their last sample. C code reads them by
// their strides and sees no ends.
func (f *Frame) Check(width, height int) error {
	if f.Width != width || f.Height != height {
		return fmt.Errorf("frame is %dx%d, must be %dx%d", f.Width, f.Height, width, height)
	}
	if len(f.Y) < f.YStride*(f.Height-1)+f.Width || f.YStride < f.Width || f.UVStride < f.Width/2 ||
		min(len(f.U), len(f.V)) < f.UVStride*(f.Height/2-1)+f.Width/2 {
		return fmt.Errorf("planes are too short for %dx%d", f.Width, f.Height)
	}
	return nil
}

// Fill paints the whole frame in one colour.
func (f *Frame) Fill(y, u, v byte) {
	fill(f.Y, y)
	fill(f.U, u)
	fill(f.V, v)
}

// fill copies what it has so far: sample by sample takes 17 times as long for a plane of
// 720p, and 30 times under the race detector.
func fill(p []byte, v byte) {
	if len(p) == 0 {
		return
	}
	p[0] = v
	for n := 1; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
}

// Retain adds a reference and returns f.
func (f *Frame) Retain() *Frame {
	if f.refs.Add(1) < 2 {
		panic("codec: frame retained after its last release")
	}
	return f
}

// Release gives a reference back; the last one frees the planes.
func (f *Frame) Release() {
	switch n := f.refs.Add(-1); {
	case n > 0:
	case n == 0:
		live.Add(-1)
		if f.free != nil {
			f.free()
		}
		f.Y, f.U, f.V = nil, nil, nil
	default:
		panic(fmt.Sprintf("codec: frame released %d times too often", -n))
	}
}
