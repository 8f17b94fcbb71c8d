package yuv

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"math/rand"
	"os"
	"testing"

	"mixdown/codec"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := codec.LiveFrames(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d frames are still held\n", n)
		code = 1
	}
	os.Exit(code)
}

// scene returns a frame with soft shapes and some noise, like a camera's.
func scene(t testing.TB, w, h int) *codec.Frame {
	f := codec.NewFrame(w, h)
	t.Cleanup(f.Release)
	rnd := rand.New(rand.NewSource(int64(w*h) + 1))
	wave := func(p []byte, stride, w, h int, turns float64) {
		for y := range h {
			for x := range w {
				v := 128 + 60*math.Sin(turns*float64(x)/float64(w)*2*math.Pi) + 30*math.Cos(turns*1.3*float64(y)/float64(h)*2*math.Pi)
				p[y*stride+x] = byte(v + rnd.Float64()*4)
			}
		}
	}
	cw, ch := (w+1)/2, (h+1)/2
	wave(f.Y, f.YStride, w, h, 5)
	wave(f.U, f.UVStride, cw, ch, 2)
	wave(f.V, f.UVStride, cw, ch, 3)
	return f
}

// area is the reference: each sample of dst is the mean of the sw x sh samples
// of src under it, parts by their share.
func area(src []byte, stride, sx, sy, sw, sh, dw, dh int) []float64 {
	out := make([]float64, dw*dh)
	fx, fy := float64(sw)/float64(dw), float64(sh)/float64(dh)
	for y := range dh {
		for x := range dw {
			x0, x1, y0, y1 := float64(x)*fx, float64(x+1)*fx, float64(y)*fy, float64(y+1)*fy
			sum, all := 0.0, 0.0
			for i := int(y0); i < sh && float64(i) < y1; i++ {
				for j := int(x0); j < sw && float64(j) < x1; j++ {
					share := (min(y1, float64(i+1)) - max(y0, float64(i))) * (min(x1, float64(j+1)) - max(x0, float64(j)))
					sum += share * float64(src[(sy+i)*stride+sx+j])
					all += share
				}
			}
			out[y*dw+x] = sum / all
		}
	}
	return out
}

func psnr(want []float64, got []byte, stride, x0, y0, w, h int) float64 {
	sum := 0.0
	for y := range h {
		for x := range w {
			d := want[y*w+x] - float64(got[(y0+y)*stride+x0+x])
			sum += d * d
		}
	}
	return 10 * math.Log10(255*255/(sum/float64(w*h)+1e-9))
}

func TestScaleAgainstArea(t *testing.T) {
	for _, c := range []struct {
		name                 string
		dx, dy, dw, dh       int // in 400x300
		sx, sy, sw, sh, w, h int
		floor                float64
	}{
		{"same", 20, 10, 320, 180, 0, 0, 320, 180, 320, 180, 80},
		{"half", 0, 0, 320, 180, 0, 0, 640, 360, 640, 360, 55},
		{"quarter", 2, 4, 160, 90, 0, 0, 640, 360, 640, 360, 55},
		{"three quarters", 4, 2, 240, 180, 0, 0, 320, 240, 320, 240, 49},
		{"third", 0, 0, 212, 120, 0, 0, 636, 360, 636, 360, 49},
		{"a fifth and a bit", 0, 0, 126, 70, 0, 0, 640, 360, 640, 360, 38},
		{"odd sizes", 0, 0, 101, 57, 0, 0, 641, 361, 641, 361, 38},
		{"crop", 40, 60, 200, 150, 100, 30, 400, 300, 640, 360, 55},
		{"crop to the last corner", 200, 150, 200, 150, 240, 60, 400, 300, 640, 360, 55},
		{"narrow", 8, 8, 90, 160, 0, 0, 360, 640, 360, 640, 45},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := scene(t, c.w, c.h)
			dst := codec.NewFrame(400, 300)
			defer dst.Release()
			dst.Fill(1, 2, 3)
			if err := Scale(dst, c.dx, c.dy, c.dw, c.dh, src, c.sx, c.sy, c.sw, c.sh); err != nil {
				t.Fatal(err)
			}
			half := func(v int) int { return (v + 1) / 2 }
			for _, p := range []struct {
				name                 string
				src, dst             []byte
				ss, ds               int
				sx, sy, sw, sh       int
				dx, dy, dw, dh, w, h int
				untouched            byte
			}{
				{"y", src.Y, dst.Y, src.YStride, dst.YStride, c.sx, c.sy, c.sw, c.sh, c.dx, c.dy, c.dw, c.dh, 400, 300, 1},
				{"u", src.U, dst.U, src.UVStride, dst.UVStride, c.sx / 2, c.sy / 2, half(c.sw), half(c.sh), c.dx / 2, c.dy / 2, half(c.dw), half(c.dh), 200, 150, 2},
				{"v", src.V, dst.V, src.UVStride, dst.UVStride, c.sx / 2, c.sy / 2, half(c.sw), half(c.sh), c.dx / 2, c.dy / 2, half(c.dw), half(c.dh), 200, 150, 3},
			} {
				want := area(p.src, p.ss, p.sx, p.sy, p.sw, p.sh, p.dw, p.dh)
				got := psnr(want, p.dst, p.ds, p.dx, p.dy, p.dw, p.dh)
				t.Logf("%s %.1f dB", p.name, got)
				if got < c.floor {
					t.Errorf("%s: %.1f dB, want %.1f", p.name, got, c.floor)
				}
				for y := range p.h {
					for x := range p.w {
						inside := x >= p.dx && x < p.dx+p.dw && y >= p.dy && y < p.dy+p.dh
						if !inside && p.dst[y*p.ds+x] != p.untouched {
							t.Fatalf("%s: %d,%d outside of the place was written", p.name, x, y)
						}
					}
				}
			}
		})
	}
}

// Between 1/2 and 1 every sample is what lies at its middle, between four of the
// source's; of any size and from anywhere, and nothing beside it is touched.
func TestScaleIsBilinear(t *testing.T) {
	src := scene(t, 640, 360)
	for _, c := range [][6]int{ // from x, y, w, h to w, h
		{0, 0, 640, 360, 424, 236}, {0, 0, 640, 360, 322, 181}, {0, 0, 320, 180, 252, 140}, {0, 0, 320, 180, 319, 179},
		{32, 18, 606, 342, 401, 299}, {600, 340, 40, 20, 25, 11}, {0, 0, 640, 360, 638, 358}, {2, 2, 17, 9, 9, 5},
		{0, 0, 101, 101, 51, 51}, {100, 100, 33, 77, 32, 40}, {0, 0, 640, 200, 640, 120}, {0, 0, 640, 200, 333, 200},
	} {
		sx, sy, sw, sh, dw, dh := c[0], c[1], c[2], c[3], c[4], c[5]
		dst := codec.NewFrame(700, 400)
		dst.Fill(7, 7, 7)
		if err := Scale(dst, 4, 6, dw, dh, src, sx, sy, sw, sh); err != nil {
			t.Fatal(err)
		}
		half := func(v int) int { return (v + 1) / 2 }
		check := func(name string, s []byte, ss, sx, sy, sw, sh int, d []byte, ds, dx, dy, dw, dh, w, h int) {
			t.Helper()
			middle := func(i, from, to int) (int, int, float64) {
				x := math.Max(0, (float64(i)+.5)*float64(from)/float64(to)-.5)
				at := min(int(x), from-1)
				return at, min(at+1, from-1), x - float64(at)
			}
			for y := range h {
				for x := range w {
					got := float64(d[y*ds+x])
					if x < dx || x >= dx+dw || y < dy || y >= dy+dh {
						if got != 7 {
							t.Fatalf("%v %s: %d,%d outside of the place was written", c, name, x, y)
						}
						continue
					}
					x0, x1, fx := middle(x-dx, sw, dw)
					y0, y1, fy := middle(y-dy, sh, dh)
					at := func(x, y int) float64 { return float64(s[(sy+y)*ss+sx+x]) }
					want := (1-fy)*((1-fx)*at(x0, y0)+fx*at(x1, y0)) + fy*((1-fx)*at(x0, y1)+fx*at(x1, y1))
					if math.Abs(got-want) > 3 {
						t.Fatalf("%v %s: %d,%d is %v, want %.1f", c, name, x-dx, y-dy, got, want)
					}
				}
			}
		}
		check("y", src.Y, src.YStride, sx, sy, sw, sh, dst.Y, dst.YStride, 4, 6, dw, dh, 700, 400)
		check("u", src.U, src.UVStride, sx/2, sy/2, half(sw), half(sh), dst.U, dst.UVStride, 2, 3, half(dw), half(dh), 350, 200)
		check("v", src.V, src.UVStride, sx/2, sy/2, half(sw), half(sh), dst.V, dst.UVStride, 2, 3, half(dw), half(dh), 350, 200)
		dst.Release()
	}
}

func TestScaleFullRange(t *testing.T) {
	src := codec.NewFrame(64, 64)
	defer src.Release()
	src.FullRange = true
	dst := codec.NewFrame(64, 64)
	defer dst.Release()
	for _, c := range []struct{ in, luma, chroma byte }{{0, 16, 16}, {128, 126, 128}, {255, 235, 240}} {
		src.Fill(c.in, c.in, c.in)
		dst.Fill(7, 7, 7)
		if err := Scale(dst, 16, 16, 32, 32, src, 0, 0, 64, 64); err != nil {
			t.Fatal(err)
		}
		if y, u, v := dst.Y[20*64+20], dst.U[10*32+10], dst.V[10*32+10]; y != c.luma || u != c.chroma || v != c.chroma {
			t.Errorf("%d became %d, %d, %d, want %d, %d", c.in, y, u, v, c.luma, c.chroma)
		}
		if dst.Y[15*64+15] != 7 || dst.Y[48*64+48] != 7 || dst.U[7*32+7] != 7 {
			t.Error("conversion went beyond the place")
		}
	}
}

func TestScaleBounds(t *testing.T) {
	src, dst := codec.NewFrame(64, 48), codec.NewFrame(32, 24)
	defer src.Release()
	defer dst.Release()
	short := codec.WrapFrame(nil)
	defer short.Release()
	short.Width, short.Height, short.YStride, short.UVStride = 64, 48, 64, 32
	short.Y, short.U, short.V = make([]byte, 64*48), make([]byte, 32*24), make([]byte, 32*24-1)
	narrow := codec.WrapFrame(nil)
	defer narrow.Release()
	narrow.Width, narrow.Height, narrow.YStride, narrow.UVStride = 64, 48, 62, 32
	narrow.Y, narrow.U, narrow.V = make([]byte, 64*48), make([]byte, 32*24), make([]byte, 32*24)
	empty := codec.WrapFrame(nil)
	defer empty.Release()
	for _, c := range []struct {
		name           string
		dst            *codec.Frame
		dx, dy, dw, dh int
		src            *codec.Frame
		sx, sy, sw, sh int
	}{
		{"right of dst", dst, 2, 0, 32, 24, src, 0, 0, 64, 48},
		{"below dst", dst, 0, 2, 32, 24, src, 0, 0, 64, 48},
		{"left of dst", dst, -2, 0, 32, 24, src, 0, 0, 64, 48},
		{"odd", dst, 1, 0, 8, 8, src, 0, 0, 64, 48},
		{"nothing", dst, 0, 0, 0, 24, src, 0, 0, 64, 48},
		{"negative", dst, 0, 0, 8, -8, src, 0, 0, 64, 48},
		{"beyond src", dst, 0, 0, 32, 24, src, 0, 0, 66, 48},
		{"overflow", dst, 0, 0, 32, 24, src, math.MaxInt - 1, 0, 64, 48},
		{"short plane", dst, 0, 0, 32, 24, short, 0, 0, 64, 48},
		{"short stride", dst, 0, 0, 32, 24, narrow, 0, 0, 64, 48},
		{"released", dst, 0, 0, 32, 24, empty, 0, 0, 2, 2},
		{"no src", dst, 0, 0, 32, 24, nil, 0, 0, 64, 48},
		{"no dst", nil, 0, 0, 32, 24, src, 0, 0, 64, 48},
	} {
		if err := Scale(c.dst, c.dx, c.dy, c.dw, c.dh, c.src, c.sx, c.sy, c.sw, c.sh); !errors.Is(err, ErrBounds) {
			t.Errorf("%s: %v, want ErrBounds", c.name, err)
		}
	}
	if _, err := ToImage(short); !errors.Is(err, ErrBounds) {
		t.Errorf("image of a short frame: %v", err)
	}
}

// FuzzScale hands over any numbers: what Scale accepts stays in the planes,
// whose ends the Go runtime does not guard against C; so the planes stand
// between marks.
func FuzzScale(f *testing.F) {
	f.Add(0, 0, 16, 16, 0, 0, 32, 32, 33, 31, 34, 17, 600)
	f.Add(2, 4, 5, 7, 2, 2, 9, 3, 15, 15, 16, 8, 1000)
	f.Fuzz(func(t *testing.T, dx, dy, dw, dh, sx, sy, sw, sh, w, h, ys, uvs, size int) {
		if size < 0 || size > 1<<16 || w > 300 || h > 300 {
			t.Skip()
		}
		src := codec.WrapFrame(nil)
		defer src.Release()
		src.Width, src.Height, src.YStride, src.UVStride = w, h, ys, uvs
		src.Y, src.U, src.V = make([]byte, size), make([]byte, size/4), make([]byte, size/4)
		const mark = 64
		buf := make([]byte, 40*30+2*mark)
		for i := range buf {
			buf[i] = 0xa5
		}
		dst := codec.NewFrame(40, 30)
		defer dst.Release()
		dst.Y = buf[mark : mark+40*30]
		_ = Scale(dst, dx, dy, dw, dh, src, sx, sy, sw, sh)
		for i := range mark {
			if buf[i] != 0xa5 || buf[len(buf)-1-i] != 0xa5 {
				t.Fatal("written outside of the plane")
			}
		}
	})
}

func TestToImage(t *testing.T) {
	for _, size := range [][2]int{{64, 48}, {63, 47}, {1, 1}, {2, 3}} {
		f := codec.NewFrame(size[0], size[1])
		for _, c := range []struct {
			full    bool
			y, u, v byte
			want    color.RGBA
		}{
			{false, 16, 128, 128, color.RGBA{0, 0, 0, 255}},
			{false, 235, 128, 128, color.RGBA{255, 255, 255, 255}},
			{true, 255, 128, 128, color.RGBA{255, 255, 255, 255}},
			{false, 81, 90, 240, color.RGBA{255, 0, 0, 255}},
			{false, 145, 54, 34, color.RGBA{0, 255, 0, 255}},
			{false, 41, 240, 110, color.RGBA{0, 0, 255, 255}},
		} {
			f.FullRange = c.full
			f.Fill(c.y, c.u, c.v)
			img, err := ToImage(f)
			if err != nil {
				t.Fatal(err)
			}
			if b := img.Bounds(); b.Dx() != size[0] || b.Dy() != size[1] {
				t.Fatalf("image of %v is %v", size, b)
			}
			for _, p := range [][2]int{{0, 0}, {size[0] - 1, size[1] - 1}} {
				got := img.RGBAAt(p[0], p[1])
				if far(got.R, c.want.R) || far(got.G, c.want.G) || far(got.B, c.want.B) || got.A != 255 {
					t.Errorf("%v at %v: %v, want %v", size, p, got, c.want)
				}
			}
		}
		f.Release()
	}
}

func far(a, b uint8) bool { return max(a, b)-min(a, b) > 3 }

func TestScaleDoesNotAllocate(t *testing.T) {
	src, dst := scene(t, 640, 360), codec.NewFrame(320, 180)
	defer dst.Release()
	if n := testing.AllocsPerRun(20, func() {
		if err := Scale(dst, 0, 0, 320, 180, src, 0, 0, 640, 360); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func BenchmarkScale(b *testing.B) {
	for _, c := range [][4]int{{640, 360, 320, 180}, {640, 360, 480, 270}, {640, 360, 160, 90}, {640, 360, 424, 236}, {640, 360, 252, 140}, {640, 360, 176, 98}, {1280, 720, 424, 236}, {1280, 720, 640, 360}} {
		b.Run(fmt.Sprintf("%dx%d-%dx%d", c[0], c[1], c[2], c[3]), func(b *testing.B) {
			src, dst := scene(b, c[0], c[1]), codec.NewFrame(c[2], c[3])
			defer dst.Release()
			b.ReportAllocs()
			for b.Loop() {
				if err := Scale(dst, 0, 0, c[2], c[3], src, 0, 0, c[0], c[1]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
