package compositor

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"mixdown/codec"
)

var update = flag.Bool("update", false, "write the golden file anew")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if n := codec.LiveFrames(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d frames are still held\n", n)
		code = 1
	}
	os.Exit(code)
}

// nearest is a Scaler that is the same on every machine. It counts, and
// refuses the frames of one size.
type nearest struct {
	calls  int
	refuse int // width of frames that are not scaled
	last   struct{ to, from Rect }
}

var errRefused = errors.New("refused")

func (n *nearest) Scale(dst *codec.Frame, to Rect, src *codec.Frame, from Rect) error {
	n.calls++
	n.last.to, n.last.from = to, from
	if src.Width == n.refuse {
		return errRefused
	}
	plane := func(d []byte, ds int, s []byte, ss int, to, from Rect) {
		for y := range to.H {
			for x := range to.W {
				d[(to.Y+y)*ds+to.X+x] = s[(from.Y+y*from.H/to.H)*ss+from.X+x*from.W/to.W]
			}
		}
	}
	plane(dst.Y, dst.YStride, src.Y, src.YStride, to, from)
	half := func(r Rect) Rect { return Rect{r.X / 2, r.Y / 2, r.W / 2, r.H / 2} }
	plane(dst.U, dst.UVStride, src.U, src.UVStride, half(to), half(from))
	plane(dst.V, dst.UVStride, src.V, src.UVStride, half(to), half(from))
	return nil
}

// flat returns a frame of one colour.
func flat(t testing.TB, w, h int, y, u, v byte) *codec.Frame {
	f := codec.NewFrame(w, h)
	f.Fill(y, u, v)
	t.Cleanup(f.Release)
	return f
}

// sitter returns a frame with something of a head before a background; k
// tells people apart.
func sitter(t testing.TB, w, h, k int) *codec.Frame {
	f := codec.NewFrame(w, h)
	t.Cleanup(f.Release)
	for y := range h {
		for x := range w {
			v := 60 + x*60/w + y*30/h + k*5%40
			dx, dy := (x-w/2)*100/h, (y-h*2/5)*80/h
			if dx*dx+dy*dy < 400 {
				v = 170
			} else if y > h*7/10 && (x-w/2)*(x-w/2) < h*h/6 {
				v = 110
			}
			f.Y[y*f.YStride+x] = byte(v)
		}
	}
	for i := range f.U {
		f.U[i], f.V[i] = byte(110+k*13%40), byte(120+k*29%40)
	}
	return f
}

func builtin(t testing.TB) *Text {
	t.Helper()
	text, err := NewBuiltinText()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// canvas returns a Picture that is closed with the test.
func canvas(t testing.TB, w, h int, s Scaler, text *Text) *Picture {
	p := NewPicture(w, h, s, text)
	t.Cleanup(p.Close)
	return p
}

// compose is Compose where an error fails the test.
func compose(t testing.TB, p *Picture, places []Rect, shots []Shot) int {
	t.Helper()
	drawn, err := p.Compose(places, shots)
	if err != nil {
		t.Fatal(err)
	}
	return drawn
}

func at(f *codec.Frame, x, y int) yuvColor {
	c := y/2*f.UVStride + x/2
	return yuvColor{f.Y[y*f.YStride+x], f.U[c], f.V[c]}
}
