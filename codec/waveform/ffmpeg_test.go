package waveform

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os/exec"
	"testing"
)

// ffmpeg runs it over in, mono, and returns what it says.
func ffmpeg(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("ffmpeg", append([]string{"-loglevel", "error", "-ac", "1"}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, said.Bytes())
	}
	return out.Bytes()
}

// sounds is two seconds of what a coder meets: sweeping tones, noise, clipping,
// silence.
func sounds(rate int) []int16 {
	rng := rand.New(rand.NewPCG(7, 7))
	pcm := make([]int16, 2*rate)
	for i := range pcm {
		x := float64(i) / float64(rate)
		v := 9000*math.Sin(2*math.Pi*(200+900*x)*x) + 3000*rng.NormFloat64()*math.Abs(math.Sin(3*x))
		switch {
		case x > 1.2 && x < 1.3:
			v *= 20
		case x > 1.6 && x < 1.7:
			v = 0
		}
		pcm[i] = int16(min(max(v, -32768), 32767))
	}
	return pcm
}

func little(pcm []int16) []byte {
	var b []byte
	for _, v := range pcm {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

// FFmpeg decodes what these coders make into what they decode themselves, bit by
// bit, and they decode what it makes.
func TestAgainstFFmpeg(t *testing.T) {
	for _, c := range []struct {
		format Format
		codec  string // FFmpeg's encoder
		muxer  string
		rate   string
		differ float64 // share of bytes: the laws leave open which of two neighbours is nearest
	}{
		{PCMU(), "pcm_mulaw", "mulaw", "8000", .03},
		{PCMA(), "pcm_alaw", "alaw", "8000", .03},
		{G722(), "g722", "g722", "16000", 0},
		{L16(), "pcm_s16be", "s16be", "48000", 0},
	} {
		t.Run(c.format.name, func(t *testing.T) {
			t.Parallel()
			pcm := sounds(c.format.rate)
			own := c.format.open().encode(nil, pcm)
			raw := []string{"-ar", c.rate, "-f", "s16le"}
			in := append([]string{"-ar", c.rate, "-f", c.muxer, "-i", "-"}, append([]string{"-c:a", "pcm_s16le"}, append(raw, "-")...)...)
			if c.muxer == "g722" {
				in = append([]string{"-f", "g722", "-i", "-", "-c:a", "pcm_s16le"}, append(raw, "-")...)
			}
			theirs := ffmpeg(t, little(pcm), append(append(raw, "-i", "-", "-c:a", c.codec), "-f", c.muxer, "-")...)
			if len(own) != len(theirs) {
				t.Fatalf("%d bytes, FFmpeg makes %d", len(own), len(theirs))
			}
			differ := 0
			for i, b := range own {
				if b != theirs[i] {
					differ++
				}
			}
			if share := float64(differ) / float64(len(own)); share > c.differ {
				t.Errorf("%d of %d bytes differ", differ, len(own))
			}
			for name, coded := range map[string][]byte{"own": own, "theirs": theirs} {
				if name == "theirs" && differ == 0 {
					continue
				}
				want := ffmpeg(t, coded, in...)
				got := little(c.format.open().decode(nil, coded))
				if !bytes.Equal(got, want) {
					n := 0
					for n < min(len(got), len(want)) && got[n] == want[n] {
						n++
					}
					t.Errorf("%s: %d bytes decoded, want %d, the same up to %d", name, len(got), len(want), n)
				}
			}
		})
	}
}
