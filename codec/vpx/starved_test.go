package vpx_test

import (
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/codec/codectest"
)

// An encoder that has far too few bits, and drops pictures for it, stays in step
// with its decoder, in layers too.
func TestStarvedStaysInStep(t *testing.T) {
	for _, name := range []string{"VP8", "VP9"} {
		for _, layers := range []int{1, 2, 3} {
			c := catalog.Default().Find(name)
			enc, err := c.NewVideoEncoder(codec.VideoConfig{Width: 640, Height: 360, FPS: 15, Bitrate: 40_000, TemporalLayers: layers})
			if err != nil {
				t.Fatal(err)
			}
			dec, err := c.NewVideoDecoder()
			if err != nil {
				t.Fatal(err)
			}
			least, dropped := 99., 0
			for i := range 40 {
				f := codectest.MovingPicture(640, 360, i)
				u, err := enc.Encode(f, time.Duration(i)*time.Second/15, i == 0)
				if err != nil {
					t.Fatal(err)
				}
				if len(u.Data) == 0 {
					dropped++
				} else {
					u.Codec = c
					got, err := dec.Decode(u)
					if err != nil {
						t.Fatal(err)
					}
					least = min(least, codectest.PSNR(got, f))
					got.Release()
				}
				f.Release()
			}
			enc.Close()
			dec.Close()
			if least < 25 {
				t.Errorf("%s, %d layers: %d of 40 dropped, worst %.1f dB", name, layers, dropped, least)
			}
		}
	}
}
