package catalog

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

// BenchmarkVideoDecode decodes every row's own pictures, once more without the loop
// filter where a row's decoder can leave it out.
func BenchmarkVideoDecode(b *testing.B) {
	for _, row := range Default().Of(codec.Video) {
		for _, s := range []struct {
			width, height, bps int
			skip               bool
		}{
			{1280, 720, 1_200_000, false}, {640, 360, 400_000, false}, {640, 360, 400_000, true}, {320, 180, 150_000, false},
		} {
			name := fmt.Sprintf("%s/%dp", row.Name, s.height)
			if s.skip {
				name += "/unfiltered"
			}
			b.Run(name, func(b *testing.B) {
				const n = 50
				cfg := codec.VideoConfig{Width: s.width, Height: s.height, FPS: 25, Bitrate: s.bps}
				e, err := row.NewVideoEncoder(cfg)
				if err != nil {
					b.Fatal(err)
				}
				defer e.Close()
				var units []codec.Unit
				for i := range n {
					f := codectest.MovingPicture(s.width, s.height, i)
					u, err := e.Encode(f, time.Duration(i)*time.Second/25, i == 0)
					f.Release()
					if err != nil {
						b.Fatal(err)
					}
					if u.Data = bytes.Clone(u.Data); len(u.Data) > 0 {
						units = append(units, u)
					}
				}
				d, err := row.NewVideoDecoder()
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				if f, ok := d.(codec.FilterSkipper); s.skip && !(ok && f.SkipFilter(true)) {
					b.Skip("it always filters")
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					f, err := d.Decode(units[i%len(units)])
					if err != nil {
						b.Fatal(err)
					}
					f.Release()
				}
			})
		}
	}
}

// BenchmarkVideoEncode encodes with every row, and says what came of it.
func BenchmarkVideoEncode(b *testing.B) {
	for _, row := range Default().Of(codec.Video) {
		for _, s := range []struct{ width, height, bps int }{
			{1280, 720, 1_200_000}, {640, 360, 400_000}, {320, 180, 150_000},
		} {
			b.Run(fmt.Sprintf("%s/%dp", row.Name, s.height), func(b *testing.B) {
				const n = 50
				cfg := codec.VideoConfig{Width: s.width, Height: s.height, FPS: 25, Bitrate: s.bps}
				e, err := row.NewVideoEncoder(cfg)
				if err != nil {
					b.Fatal(err)
				}
				defer e.Close()
				d, err := row.NewVideoDecoder()
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				var pictures [n]*codec.Frame
				for i := range pictures {
					pictures[i] = codectest.MovingPicture(s.width, s.height, i)
					defer pictures[i].Release()
				}
				picture := func(i int) *codec.Frame { // there and back
					k := i % (2*n - 2)
					return pictures[min(k, 2*n-2-k)]
				}
				i, size, seen, db := 0, 0, 0, 0.0
				encode := func() codec.Unit {
					u, err := e.Encode(picture(i), time.Duration(i)*time.Second/25, false)
					if err != nil {
						b.Fatal(err)
					}
					i++
					size += len(u.Data)
					return u
				}
				for range 2 * n {
					u := encode()
					if len(u.Data) == 0 {
						continue
					}
					f, err := d.Decode(u)
					if err != nil {
						b.Fatal(err)
					}
					db += codectest.PSNR(picture(i-1), f)
					seen++
					f.Release()
				}
				b.ReportAllocs()
				for b.Loop() {
					encode()
				}
				b.ReportMetric(float64(size*8*25)/float64(i)/1000, "kbit/s")
				b.ReportMetric(db/float64(seen), "dB")
			})
		}
	}
}
