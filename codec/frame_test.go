package codec

import "testing"

// TestFrameCheck: what C would read beyond the planes is refused.
func TestFrameCheck(t *testing.T) {
	f := NewFrame(64, 36)
	defer f.Release()
	if err := f.Check(64, 36); err != nil {
		t.Error(err)
	}
	if f.Check(66, 36) == nil || f.Check(64, 34) == nil {
		t.Error("another size is taken")
	}
	y, u, v, stride, half := f.Y, f.U, f.V, f.YStride, f.UVStride
	for name, spoil := range map[string]func(){
		"Y":        func() { f.Y = y[:len(y)-1] },
		"U":        func() { f.U = u[:len(u)-1] },
		"V":        func() { f.V = v[:len(v)-1] },
		"stride":   func() { f.YStride = 63 },
		"UVStride": func() { f.UVStride = 31 },
		"longer":   func() { f.YStride = 65 },
	} {
		if spoil(); f.Check(64, 36) == nil {
			t.Errorf("%s: taken", name)
		}
		f.Y, f.U, f.V, f.YStride, f.UVStride = y, u, v, stride, half
	}
}

// TestFramePool: a frame has the memory of one that was released if that has its size,
// and no more than two wait.
func TestFramePool(t *testing.T) {
	var p FramePool
	check := func(f *Frame, w, h int) *byte {
		if f.Check(w, h) != nil || f.Width != w || f.Height != h {
			t.Errorf("%dx%d: %v", w, h, f.Check(w, h))
		}
		return &f.Y[0]
	}
	var at []*byte
	var out []*Frame
	for range 3 {
		out = append(out, p.Get(64, 36))
		at = append(at, check(out[len(out)-1], 64, 36))
	}
	for _, f := range out {
		f.Release()
	}
	if len(p.idle) != 2 {
		t.Errorf("%d wait", len(p.idle))
	}
	a, b := p.Get(64, 36), p.Get(64, 36)
	if check(a, 64, 36) != at[1] || check(b, 64, 36) != at[0] {
		t.Error("memory that waited is not used, the last one first")
	}
	a.Release()
	odd := p.Get(33, 17)
	check(odd, 33, 17)
	if len(p.idle) != 0 {
		t.Errorf("%d of another size wait", len(p.idle))
	}
	odd.Release()
	b.Release()
}
