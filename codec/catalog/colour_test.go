package catalog

import (
	"testing"

	"github.com/asticode/go-astiav"

	"mixdown/codec"
	"mixdown/codec/codectest"
	"mixdown/codec/x264"
	"mixdown/codec/yuv"
)

// TestColourTags reads what decoders are told of the colours: without a word
// browsers take 720p for BT.709. VP8 has but one kind.
func TestColourTags(t *testing.T) {
	for name, decoder := range map[string]string{"H264": "h264", "VP9": "vp9", "AV1": "libdav1d"} {
		cfg := codec.VideoConfig{Width: 1280, Height: 720, FPS: 25, Bitrate: 1_000_000}
		e, err := Default().Find(name).NewVideoEncoder(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		picture := codectest.MovingPicture(cfg.Width, cfg.Height, 0)
		defer picture.Release()
		u, err := e.Encode(picture, 0, true)
		if err != nil {
			t.Fatal(err)
		}

		c := astiav.FindDecoderByName(decoder)
		ctx, p, f := astiav.AllocCodecContext(c), astiav.AllocPacket(), astiav.AllocFrame()
		defer ctx.Free()
		defer p.Free()
		defer f.Free()
		ctx.SetThreadCount(1)
		ctx.SetFlags(astiav.NewCodecContextFlags(astiav.CodecContextFlagLowDelay))
		if err := ctx.Open(c, nil); err != nil {
			t.Fatal(err)
		}
		if err := p.FromData(u.Data); err != nil {
			t.Fatal(err)
		}
		if err := ctx.SendPacket(p); err != nil {
			t.Fatal(err)
		}
		if err := ctx.ReceiveFrame(f); err != nil {
			t.Fatal(err)
		}
		if s := ctx.ColorSpace(); s != astiav.ColorSpaceSmpte170M {
			t.Errorf("%s: colour space %v", name, s)
		}
		if r := ctx.ColorRange(); r != astiav.ColorRangeMpeg {
			t.Errorf("%s: colour range %v", name, r)
		}
	}
}

// TestFullRange takes what browsers make of a canvas, H.264 in full range, to
// the limited range of the gallery.
func TestFullRange(t *testing.T) {
	const w, h = 320, 192
	want := codectest.MovingPicture(w, h, 0)
	defer want.Release()
	full := codectest.MovingPicture(w, h, 0)
	defer full.Release()
	for _, p := range []struct {
		samples []byte
		zero    int // that 16 becomes in luma, and 128 stays in chroma
		steps   int
	}{{full.Y, 16, 219}, {full.U, 128, 224}, {full.V, 128, 224}} {
		for i, v := range p.samples {
			p.samples[i] = byte(min(max((int(v)-p.zero)*255/p.steps+p.zero-p.zero%128, 0), 255))
		}
	}
	e, err := x264.Open(codec.VideoConfig{Width: w, Height: h, FPS: 25, Bitrate: 4_000_000},
		x264.Options{Preset: "superfast", Profile: "baseline", MaxQ: 51, FullRange: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	u, err := e.Encode(full, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Default().Find("H264").NewVideoDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	f, err := d.Decode(u)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	if !f.FullRange {
		t.Fatal("the decoder did not say full range")
	}
	got := codec.NewFrame(w, h)
	defer got.Release()
	if err := yuv.Scale(got, 0, 0, w, h, f, 0, 0, w, h); err != nil {
		t.Fatal(err)
	}
	if p := codectest.PSNR(want, got); p < 38 {
		t.Errorf("%.1f dB", p)
	}
}
