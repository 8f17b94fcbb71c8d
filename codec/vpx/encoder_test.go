package vpx

import (
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

// TestDropBelow starves the encoder: it may drop pictures only where allowed,
// and units of dropped pictures are empty.
func TestDropBelow(t *testing.T) {
	for _, below := range []int{0, 60} {
		cfg := codec.VideoConfig{Width: 640, Height: 360, FPS: 25, Bitrate: 20_000}
		e, err := OpenVP8(cfg, Options{Speed: -8, MinQ: 4, MaxQ: 40, DropBelow: below})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		codectest.Drops(t, e, cfg, below > 0)
	}
}

// TestThreads codes with more than one.
func TestThreads(t *testing.T) {
	cfg := codec.VideoConfig{Width: 1280, Height: 720, FPS: 25, Bitrate: 1_000_000, Threads: 2}
	e, err := NewVP8Encoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	f := codectest.MovingPicture(cfg.Width, cfg.Height, 0)
	defer f.Release()
	if u, err := e.Encode(f, 0, false); err != nil || len(u.Data) == 0 {
		t.Errorf("%d bytes, %v", len(u.Data), err)
	}
}

func TestOptionsRefused(t *testing.T) {
	cfg := codec.VideoConfig{Width: 64, Height: 64, FPS: 25, Bitrate: 100_000}
	for _, opt := range []Options{{MinQ: 70, MaxQ: 63}, {MinQ: 20, MaxQ: 10}, {MaxQ: 64}} {
		if e, err := OpenVP8(cfg, opt); err == nil {
			e.Close()
			t.Errorf("accepted %+v", opt)
		}
	}
}

func benchmarkEncode(b *testing.B, width, height, bps int) {
	cfg := codec.VideoConfig{Width: width, Height: height, FPS: 25, Bitrate: bps}
	e, err := NewVP8Encoder(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	var pictures []*codec.Frame
	for i := range 50 {
		f := codectest.MovingPicture(width, height, i)
		defer f.Release()
		pictures = append(pictures, f)
	}
	b.ReportAllocs()
	size, i := 0, 0
	for b.Loop() {
		k := i % 98 // there and back
		if k >= 50 {
			k = 98 - k
		}
		u, err := e.Encode(pictures[k], time.Duration(i)*time.Second/25, false)
		if err != nil {
			b.Fatal(err)
		}
		size += len(u.Data)
		i++
	}
	b.ReportMetric(float64(size*8*25)/float64(i)/1000, "kbit/s")
}

func BenchmarkEncode720p(b *testing.B) { benchmarkEncode(b, 1280, 720, 1_200_000) }
func BenchmarkEncode360p(b *testing.B) { benchmarkEncode(b, 640, 360, 400_000) }

func BenchmarkPacketize(b *testing.B) {
	p := VP8Payload{}.NewPacketizer()
	u := codec.Unit{Data: make([]byte, 6000)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Packetize(u, 1200); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkShift(b *testing.B) {
	payloads, _ := VP8Payload{}.NewPacketizer().Packetize(codec.Unit{Data: make([]byte, 1000)}, 1200)
	b.ReportAllocs()
	for b.Loop() {
		VP8Payload{}.Shift(payloads[0], 0x010001)
	}
}
