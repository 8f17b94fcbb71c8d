package load

import (
	"image"
	"image/png"
	"os"
	"testing"
	"time"

	"mixdown/codec"
)

// TestLook writes the people as pictures where MIXDOWN_LOOK says, for eyes.
func TestLook(t *testing.T) {
	dir := os.Getenv("MIXDOWN_LOOK")
	if dir == "" {
		t.Skip("set MIXDOWN_LOOK to a file name to see the people")
	}
	const w, h, cols, rows = 640, 360, 3, 4
	sheet := image.NewYCbCr(image.Rect(0, 0, w*cols, h*rows), image.YCbCrSubsampleRatio420)
	f := codec.NewFrame(w, h)
	defer f.Release()
	for i := range cols * rows {
		start := time.Now()
		p := newPerson(i, w, h)
		made := time.Since(start)
		start = time.Now()
		for range 10 {
			p.Draw(f, 20*i, 200, float64(i%3)/2, i%3 > 0)
		}
		t.Log(made, time.Since(start)/10)
		x, y := i%cols*w, i/cols*h
		for r := range h {
			copy(sheet.Y[(y+r)*sheet.YStride+x:], f.Y[r*f.YStride:r*f.YStride+w])
		}
		for r := range h / 2 {
			copy(sheet.Cb[(y/2+r)*sheet.CStride+x/2:], f.U[r*f.UVStride:r*f.UVStride+w/2])
			copy(sheet.Cr[(y/2+r)*sheet.CStride+x/2:], f.V[r*f.UVStride:r*f.UVStride+w/2])
		}
		p.room.Release()
	}
	out, err := os.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := png.Encode(out, sheet); err != nil {
		t.Fatal(err)
	}
}
