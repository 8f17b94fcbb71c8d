package codectest

import (
	"math"
	"testing"

	"mixdown/codec"
)

func TestPSNR(t *testing.T) {
	live := codec.LiveFrames()
	a, b := MovingPicture(64, 48, 3), MovingPicture(64, 48, 3)
	if p := PSNR(a, b); !math.IsInf(p, 1) {
		t.Errorf("equal pictures: %v dB, want +Inf", p)
	}
	for i := range b.Y {
		b.Y[i]++
	}
	for i := range b.U {
		b.U[i]++
		b.V[i]--
	}
	if p := PSNR(a, b); math.Abs(p-48.13) > 0.01 { // 20·log10(255)
		t.Errorf("all samples off by one: %.2f dB, want 48.13", p)
	}
	c := MovingPicture(62, 48, 3)
	if p := PSNR(a, c); p != 0 {
		t.Errorf("different sizes: %v dB, want 0", p)
	}
	for _, f := range []*codec.Frame{a, b, c} {
		f.Release()
	}
	if n := codec.LiveFrames(); n != live {
		t.Errorf("%d frames live, want %d", n, live)
	}
}

func TestSSIM(t *testing.T) {
	a, b := MovingPicture(64, 48, 3), MovingPicture(64, 48, 3)
	defer a.Release()
	defer b.Release()
	if s := SSIM(a, b); math.Abs(s-1) > 1e-9 {
		t.Errorf("equal pictures: %v, want 1", s)
	}
	for i := range b.Y {
		b.Y[i] += 4 // brighter, of the same structure
	}
	brighter := SSIM(a, b)
	for i := range b.Y {
		b.Y[i] = a.Y[i] + byte(8*(i%2)) // as far off, of another one
	}
	if worse := SSIM(a, b); brighter < 0.98 || worse > brighter-0.05 || worse < 0.3 {
		t.Errorf("brighter %v, with stripes %v", brighter, worse)
	}
	c := MovingPicture(62, 48, 3)
	defer c.Release()
	if s := SSIM(a, c); s != 0 {
		t.Errorf("different sizes: %v, want 0", s)
	}
}

func TestMovingPictureMoves(t *testing.T) {
	a, b := MovingPicture(320, 180, 0), MovingPicture(320, 180, 1)
	defer a.Release()
	defer b.Release()
	if p := PSNR(a, b); p < 15 || p > 40 {
		t.Errorf("neighbours are %.1f dB apart, want 15 to 40", p)
	}
	MovingPicture(1, 1, 5).Release() // no size is too small
	MovingPicture(7, 3, 5).Release()
}

func TestToneLevel(t *testing.T) {
	for _, n := range []int{960, 9600} {
		pcm := Tone(48000, 1000, -12, 0, n)
		if l := ToneLevel(pcm, 48000, 1000); math.Abs(l+12) > 0.1 {
			t.Errorf("%d samples: own tone at %.2f dBFS, want -12", n, l)
		}
		if l := ToneLevel(pcm, 48000, 1000+4*48000/float64(n)); l > -52 {
			t.Errorf("%d samples: four bins away %.1f dBFS, want below -52", n, l)
		}
	}
	if l := ToneLevel(make([]int16, 960), 48000, 1000); !math.IsInf(l, -1) {
		t.Errorf("silence at %v dBFS, want -Inf", l)
	}
}
