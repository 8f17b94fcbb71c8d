package x264

import (
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
	"mixdown/codec/ffmpeg"
)

// withoutVUI ends a sequence parameter set of baseline or Main before its VUI
// (H.264, section 7.3.2.1.1), as some encoders in hardware write it: nothing
// then says that pictures come in order.
func withoutVUI(t *testing.T, sps []byte) []byte {
	g := golomb{data: sps, at: 4 * 8}
	numbers := func(n int) (last uint32) {
		for range n {
			v, ok := g.next()
			if !ok {
				t.Fatalf("%x ends early", sps)
			}
			last = v
		}
		return last
	}
	numbers(2) // seq_parameter_set_id, log2_max_frame_num_minus4
	if order := numbers(1); order == 0 {
		numbers(1)
	}
	numbers(1)
	g.bit()
	numbers(2)
	g.bit()
	g.bit()
	if cropped, _ := g.bit(); cropped == 1 {
		numbers(4)
	}
	out := append([]byte(nil), sps[:g.at/8+1]...)
	used := g.at % 8
	out[len(out)-1] &= 0xff << (8 - used) // vui_parameters_present_flag is 0
	if used == 7 {
		return append(out, 0x80)
	}
	out[len(out)-1] |= 0x40 >> used // rbsp_stop_one_bit
	return out
}

// TestNoDelay decodes streams that do not say that their pictures come in order:
// each still comes out at once.
func TestNoDelay(t *testing.T) {
	for _, open := range []func(codec.VideoConfig) (codec.VideoEncoder, error){NewEncoder, NewMainEncoder} {
		cfg := codec.VideoConfig{Width: 320, Height: 192, FPS: 25, Bitrate: 300_000}
		e, err := open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		d, err := ffmpeg.NewDecoder("h264")()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for i := range 30 {
			want := codectest.MovingPicture(cfg.Width, cfg.Height, i)
			u, err := e.Encode(want, time.Duration(i)*time.Second/25, i%10 == 0)
			if err != nil {
				t.Fatal(err)
			}
			if u.Keyframe {
				sps, rest := nextNAL(u.Data)
				u.Data = append(stream(withoutVUI(t, sps)), rest...)
			}
			got, err := d.Decode(u)
			if err != nil {
				t.Fatalf("picture %d: %v", i, err)
			}
			if got == nil {
				t.Fatalf("picture %d did not come out at once", i)
			}
			if p := codectest.PSNR(want, got); p < 25 {
				t.Errorf("picture %d: %.1f dB", i, p)
			}
			got.Release()
			want.Release()
		}
	}
}
