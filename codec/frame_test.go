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
