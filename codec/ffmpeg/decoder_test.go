package ffmpeg

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/asticode/go-astiav"

	"mixdown/codec"
)

// black returns a keyframe of one black picture.
func black(t testing.TB, encoder string, format astiav.PixelFormat, width, height int) []byte {
	t.Helper()
	c := astiav.FindEncoderByName(encoder)
	if c == nil {
		t.Skipf("this FFmpeg has no %s", encoder)
	}
	astiav.SetLogLevel(astiav.LogLevelQuiet)
	ctx := astiav.AllocCodecContext(c)
	defer ctx.Free()
	ctx.SetWidth(width)
	ctx.SetHeight(height)
	ctx.SetPixelFormat(format)
	ctx.SetTimeBase(astiav.NewRational(1, 25))
	ctx.SetThreadCount(1)
	options := astiav.NewDictionary()
	defer options.Free()
	for k, v := range map[string]map[string]string{
		"libx264":    {"tune": "zerolatency"},
		"libvpx":     {"deadline": "realtime", "lag-in-frames": "0"},
		"libvpx-vp9": {"deadline": "realtime", "lag-in-frames": "0"},
		"libaom-av1": {"usage": "realtime", "lag-in-frames": "0", "cpu-used": "8"},
	}[encoder] {
		options.Set(k, v, 0)
	}
	f, p := astiav.AllocFrame(), astiav.AllocPacket()
	defer f.Free()
	defer p.Free()
	f.SetWidth(width)
	f.SetHeight(height)
	f.SetPixelFormat(format)
	if format == astiav.PixelFormatYuvj420P {
		f.SetColorRange(astiav.ColorRangeJpeg)
	}
	err := errors.Join(ctx.Open(c, options), f.AllocBuffer(0), f.ImageFillBlack(), ctx.SendFrame(f))
	if err != nil {
		t.Fatal(err)
	}
	if err := ctx.ReceivePacket(p); err != nil {
		t.Fatal(err)
	}
	return p.Data()
}

func open(t testing.TB, name string, pixels int) *Decoder {
	t.Helper()
	d, err := Open(name, pixels)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// noLeak checks at the end that all frames are back.
func noLeak(t testing.TB) {
	live := codec.LiveFrames()
	t.Cleanup(func() {
		if n := codec.LiveFrames(); n != live {
			t.Errorf("%d frames are still held, were %d", n, live)
		}
	})
}

// TestAnyDecoder takes a picture through every decoder that a row may name.
func TestAnyDecoder(t *testing.T) {
	noLeak(t)
	for _, c := range []struct {
		decoder, encoder string
		format           astiav.PixelFormat
		full             bool
	}{
		{"vp8", "libvpx", astiav.PixelFormatYuv420P, false},
		{"vp9", "libvpx-vp9", astiav.PixelFormatYuv420P, false},
		{"h264", "libx264", astiav.PixelFormatYuv420P, false},
		{"h264", "libx264", astiav.PixelFormatYuvj420P, true},
		{"libdav1d", "libaom-av1", astiav.PixelFormatYuv420P, false},
	} {
		t.Run(c.decoder+" "+c.format.String(), func(t *testing.T) {
			data := black(t, c.encoder, c.format, 322, 182)
			d := open(t, c.decoder, MaxPixels)
			for range 3 {
				f, err := d.Decode(codec.Unit{Data: data, Keyframe: true})
				if err != nil {
					t.Fatal(err)
				}
				if f == nil {
					t.Fatal("no frame at once")
				}
				dark := byte(16)
				if c.full {
					dark = 0
				}
				if f.Width != 322 || f.Height != 182 || f.FullRange != c.full {
					t.Errorf("got %dx%d, full range %v", f.Width, f.Height, f.FullRange)
				}
				if y, u, v := f.Y[181*f.YStride+321], f.U[90*f.UVStride+160], f.V[90*f.UVStride+160]; y != dark || u != 128 || v != 128 {
					t.Errorf("the last pixel is %d, %d, %d", y, u, v)
				}
				f.Release()
			}
		})
	}
}

func TestOddSizes(t *testing.T) {
	noLeak(t)
	d := open(t, "vp8", MaxPixels)
	for _, s := range [][2]int{{321, 181}, {1, 1}, {17, 3}, {33, 480}} {
		f, err := d.Decode(codec.Unit{Data: black(t, "libvpx", astiav.PixelFormatYuv420P, s[0], s[1]), Keyframe: true})
		if err != nil {
			t.Fatal(err)
		}
		w, h := s[0], s[1]
		if f.Width != w || f.Height != h {
			t.Errorf("%dx%d came out as %dx%d", w, h, f.Width, f.Height)
		}
		if len(f.Y) < f.YStride*(h-1)+w || len(f.U) < f.UVStride*((h+1)/2-1)+(w+1)/2 || len(f.V) < len(f.U) {
			t.Errorf("%dx%d: planes of %d, %d, %d bytes", w, h, len(f.Y), len(f.U), len(f.V))
		}
		f.Release()
	}
}

func TestPixelFormats(t *testing.T) {
	noLeak(t)
	for _, format := range []astiav.PixelFormat{
		astiav.PixelFormatYuv444P, astiav.PixelFormatYuv422P, astiav.PixelFormatYuv420P10Le,
	} {
		f, err := open(t, "h264", MaxPixels).Decode(codec.Unit{
			Data: black(t, "libx264", format, 64, 64), Keyframe: true,
		})
		if err == nil {
			f.Release()
			t.Errorf("%v is accepted", format)
		} else if !strings.Contains(err.Error(), format.String()) {
			t.Errorf("error %q does not name %v", err, format)
		}
	}
}

func TestLimit(t *testing.T) {
	noLeak(t)
	for decoder, encoder := range map[string]string{"vp8": "libvpx", "h264": "libx264", "vp9": "libvpx-vp9", "libdav1d": "libaom-av1"} {
		data := black(t, encoder, astiav.PixelFormatYuv420P, 320, 192)
		f, err := open(t, decoder, 320*192).Decode(codec.Unit{Data: data, Keyframe: true})
		if err != nil {
			t.Fatalf("%s: %v", decoder, err)
		}
		f.Release()
		d := open(t, decoder, 320*192-1)
		f, err = d.Decode(codec.Unit{Data: data, Keyframe: true})
		if err == nil {
			f.Release()
			t.Errorf("%s: a picture beyond the limit is accepted", decoder)
		} else if !strings.Contains(err.Error(), "larger than 61439 pixels") {
			t.Errorf("%s: error %q does not tell the limit", decoder, err)
		}
		small := black(t, encoder, astiav.PixelFormatYuv420P, 160, 96)
		if f, err = d.Decode(codec.Unit{Data: small, Keyframe: true}); err != nil {
			t.Errorf("%s: the next picture is refused too: %v", decoder, err)
		} else {
			f.Release()
		}
	}
	// VP8 keeps its size in the six bytes behind the start code's end: make it
	// the largest there is.
	data := bytes.Clone(black(t, "libvpx", astiav.PixelFormatYuv420P, 320, 192))
	copy(data[6:10], []byte{0xff, 0x3f, 0xff, 0x3f})
	if _, err := open(t, "vp8", MaxPixels).Decode(codec.Unit{Data: data, Keyframe: true}); err == nil {
		t.Error("16383x16383 is accepted")
	}
}

// TestRecoveryPoint begins a stream of H.264 that has no second IDR picture, but
// is refreshed column by column, in its middle.
func TestRecoveryPoint(t *testing.T) {
	noLeak(t)
	const period, n = 10, 40
	astiav.SetLogLevel(astiav.LogLevelQuiet)
	c := astiav.FindEncoderByName("libx264")
	if c == nil {
		t.Skip("this FFmpeg has no libx264")
	}
	ctx, f, p := astiav.AllocCodecContext(c), astiav.AllocFrame(), astiav.AllocPacket()
	defer ctx.Free()
	defer f.Free()
	defer p.Free()
	ctx.SetWidth(320)
	ctx.SetHeight(192)
	ctx.SetPixelFormat(astiav.PixelFormatYuv420P)
	ctx.SetTimeBase(astiav.NewRational(1, 25))
	ctx.SetThreadCount(1)
	ctx.SetGopSize(period)
	options := astiav.NewDictionary()
	defer options.Free()
	options.Set("tune", "zerolatency", 0)
	options.Set("intra-refresh", "1", 0)
	f.SetWidth(320)
	f.SetHeight(192)
	f.SetPixelFormat(astiav.PixelFormatYuv420P)
	if err := errors.Join(ctx.Open(c, options), f.AllocBuffer(0), f.ImageFillBlack()); err != nil {
		t.Fatal(err)
	}
	d := open(t, "h264", MaxPixels)
	began, shown := -1, 0
	for i := range n {
		f.SetPts(int64(i))
		if err := ctx.SendFrame(f); err != nil {
			t.Fatal(err)
		}
		if err := ctx.ReceivePacket(p); err != nil {
			t.Fatal(err)
		}
		data := p.Data()
		p.Unref()
		// What the payload format takes for a keyframe: a sequence parameter set.
		key := bytes.HasPrefix(data, []byte{0, 0, 0, 1, 0x67}) || bytes.Contains(data, []byte{0, 0, 1, 0x67})
		if i == 0 || began < 0 && !key {
			continue // not seen
		}
		if began < 0 {
			began = i
		}
		out, err := d.Decode(codec.Unit{Data: data, Keyframe: key})
		if err != nil {
			t.Fatalf("picture %d: %v", i, err)
		}
		if out != nil {
			shown++
			if y := out.Y[191*out.YStride+319]; y != 16 {
				t.Errorf("picture %d: black is %d", i, y)
			}
			out.Release()
		}
	}
	if began < 0 || shown < n-began-2*period {
		t.Errorf("began at %d, %d of %d pictures came out", began, shown, n-began)
	}
}

func TestUnknownDecoder(t *testing.T) {
	d, err := NewDecoder("vp0")()
	if err == nil || d != nil || !strings.Contains(err.Error(), `"vp0"`) {
		t.Errorf("got %v, %v", d, err)
	}
}

func TestNoKeyframe(t *testing.T) {
	d := open(t, "vp8", MaxPixels)
	if _, err := d.Decode(codec.Unit{Data: []byte{1, 2, 3}}); !errors.Is(err, ErrNoKeyframe) {
		t.Errorf("got %v, want ErrNoKeyframe", err)
	}
}

func FuzzVP8(f *testing.F) {
	key := black(f, "libvpx", astiav.PixelFormatYuv420P, 64, 48)
	f.Add(key[:10], true)
	f.Add([]byte{0x11, 0, 0, 1, 2, 3, 4, 5}, false)
	fuzz(f, "vp8", key)
}

func FuzzH264(f *testing.F) {
	key := black(f, "libx264", astiav.PixelFormatYuv420P, 64, 48)
	f.Add([]byte{0, 0, 0, 1, 0x41, 0x9a, 0x24, 0x6c}, false)
	f.Add([]byte{0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0, 0, 1, 0x68, 0xce}, true)
	f.Add([]byte{0, 0, 1, 0x06, 0x06, 0x01, 0xc4, 0x80, 0, 0, 1, 0x65}, true)
	fuzz(f, "h264", key)
}

func FuzzVP9(f *testing.F) {
	key := black(f, "libvpx-vp9", astiav.PixelFormatYuv420P, 64, 48)
	f.Add([]byte{0x88}, false) // shows a picture again
	f.Add([]byte{0x86, 0x00, 0x40, 0x92, 0x9c}, false)
	f.Add(append(append([]byte{}, key...), 0xc9, 0x05, 0x00, 0xff, 0xff, 0xc9), true) // a superframe's index
	fuzz(f, "vp9", key)
}

func FuzzAV1(f *testing.F) {
	key := black(f, "libaom-av1", astiav.PixelFormatYuv420P, 64, 48)
	f.Add([]byte{0x1a, 0x01, 0x80}, false) // shows a picture again
	f.Add([]byte{0x12, 0x00, 0x0a, 0x03, 0x00, 0x11, 0x22}, true)
	f.Add([]byte{0x32, 0x05, 0x30, 0x01, 0x02, 0x03, 0x04}, false)
	fuzz(f, "libdav1d", key)
}

// fuzz decodes a keyframe, then data as whatever it may be, then the keyframe
// again, which always has to come out.
func fuzz(f *testing.F, name string, key []byte) {
	f.Add(key, true)
	f.Add(key[:len(key)/2], true)
	f.Add(key, false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, keyframe bool) {
		noLeak(t)
		d := open(t, name, 1<<20)
		for i, u := range []codec.Unit{
			{Data: key, Keyframe: true}, {Data: data, Keyframe: keyframe}, {Data: key, Keyframe: true},
		} {
			out, err := d.Decode(u)
			if out != nil {
				if out.Width*out.Height > 1<<20 || len(out.Y) < out.YStride*(out.Height-1)+out.Width {
					t.Errorf("%dx%d with %d bytes", out.Width, out.Height, len(out.Y))
				}
				out.Release()
			}
			if i != 1 && (err != nil || out == nil) {
				t.Errorf("good keyframe: %v", err)
			}
		}
	})
}
