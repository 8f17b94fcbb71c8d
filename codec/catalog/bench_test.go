package catalog

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

// BenchmarkVideoDecode decodes every row's own pictures.
func BenchmarkVideoDecode(b *testing.B) {
	for _, row := range All().Of(codec.Video) {
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
