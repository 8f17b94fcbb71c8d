package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os/exec"
	"testing"

	"mixdown/codec"
	"mixdown/codec/catalog"
)

// mixed codes each bot's clip and decodes and adds what all say in a slot.
func mixed(t *testing.T, speech bool, ids ...int) []int16 {
	t.Helper()
	opus := catalog.Default().Find("opus")
	c := ClipConfig{FPS: 25, Speech: speech, Audio: opus}
	sum := make([]int16, loopSamples)
	pcm := make([]int16, packetSamples)
	for _, id := range ids {
		s, err := say(context.Background(), id, Schedule{FPS: 25}.KeyOffset(id)*soundRate/25, speech)
		if err != nil {
			t.Fatal(err)
		}
		said, _, err := c.codeSound(s)
		if err != nil {
			t.Fatal(err)
		}
		dec, err := opus.NewAudioDecoder(codec.AudioFormat{Rate: soundRate, Channels: 1})
		if err != nil {
			t.Fatal(err)
		}
		for p, packet := range said {
			n, err := dec.Decode(packet.Data, pcm)
			if err != nil || n != packetSamples {
				t.Fatal(n, err)
			}
			for i, v := range pcm {
				sum[p*packetSamples+i] += v
			}
		}
		dec.Close()
	}
	return sum
}

// heard returns the level of each bot's tone in a slot, in dB of that sent.
func heard(pcm []int16, slot, bots int, sent float64) []float64 {
	length := int(listenFor.Seconds() * soundRate)
	p := newProbe(0, bots, length)
	from := slot*slotSamples + int(listenFrom.Seconds()*soundRate)
	p.add(pcm[from : from+length])
	out := make([]float64, bots)
	for i := range out {
		out[i] = decibels(p.amplitude(i) / sent)
	}
	return out
}

func TestTonesAreFarApart(t *testing.T) {
	taken := map[float64]int{}
	for id := range maxID + 1 {
		hz := toneHz(id)
		if other, ok := taken[hz]; ok || hz < 300 || hz > 8000 || math.Mod(hz*slotSeconds, 1) != 0 {
			t.Errorf("bot %d has %.0f Hz, as bot %d", id, hz, other)
		}
		taken[hz] = id
		for k := 1; k < 4; k++ { // who may have the same turn
			if next := toneHz(id + k); math.Abs(next-hz) < 300 {
				t.Errorf("bots %d and %d speak at once, %.0f Hz apart", id, id+k, next-hz)
			}
		}
	}
}

func TestTonesAreTold(t *testing.T) {
	// 0 and 27 are neighbours on the grid.
	talk := map[int]bool{0: true, 12: true, 27: true, 49: true}
	for slot := range 2 {
		for id, level := range heard(mixed(t, false, 0, 12, 27, 49), slot, 50, toneAlone) {
			if talk[id] && math.Abs(level) > 1.5 {
				t.Errorf("slot %d: tone %d came at %.1f dB", slot, id, level)
			}
			if !talk[id] && level > -50 {
				t.Errorf("slot %d: tone %d is at %.1f dB, though nobody sent it", slot, id, level)
			}
		}
	}
}

func TestTonesAreToldUnderSpeech(t *testing.T) {
	if _, err := exec.LookPath("espeak-ng"); err != nil {
		t.Skip("espeak-ng is not installed")
	}
	talk := map[int]bool{2: true, 3: true, 4: true, 5: true}
	for slot := range 2 {
		for id, level := range heard(mixed(t, true, 2, 3, 4, 5), slot, 50, toneUnder) {
			if talk[id] != (level > heardAbove) {
				t.Errorf("slot %d: tone %d is at %.1f dB, sent: %v", slot, id, level, talk[id])
			}
		}
	}
}

func TestSoundLevelsAndMouth(t *testing.T) {
	s, err := say(context.Background(), 3, soundRate/2, false)
	if err != nil {
		t.Fatal(err)
	}
	if s.Level(0) != 127 || s.Level(195) != 127 {
		t.Errorf("silence is at -%d and -%d dBov", s.Level(0), s.Level(195))
	}
	if got := s.Level(100); got != 23 { // a sine of a tenth of full scale
		t.Errorf("the tone is at -%d dBov", got)
	}
	open, shut := 0.0, s.Mouth(0.2, false)+s.Mouth(3.95, false)
	for at := 1.0; at < 3; at += 0.04 {
		open = max(open, s.Mouth(at, false))
	}
	if shut != 0 || open < 0.9 || open > 1 {
		t.Errorf("the mouth opens to %.2f and closes to %.2f", open, shut)
	}
}

func TestEspeakMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := say(context.Background(), 0, 0, true)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("apt-get install espeak-ng")) {
		t.Errorf("error %v does not say what to do", err)
	}
}

// wav writes mono 16-bit samples as a program does that cannot seek back.
func wav(rate uint32, samples ...int16) []byte {
	b := []byte("RIFF\xff\xff\xff\x7fWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint32(b, 2*rate)
	b = append(b, 2, 0, 16, 0)
	b = append(b, "data\xff\xff\xff\x7f"...)
	for _, v := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

func TestParseWAV(t *testing.T) {
	got, rate, err := parseWAV(wav(22050, 0, 16384, -32768))
	if err != nil || rate != 22050 || len(got) != 3 || got[1] != 0.5 || got[2] != -1 {
		t.Errorf("%v %d %v", got, rate, err)
	}
	if n := len(resample(make([]float64, 22050), 22050)); n < 47990 || n > 48000 {
		t.Errorf("a second has %d samples", n)
	}
}

func FuzzParseWAV(f *testing.F) {
	f.Add(wav(22050, 1, 2, 3))
	f.Add(wav(0))
	f.Add(wav(8000, 5)[:40])
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEjunk\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		samples, rate, err := parseWAV(b)
		if err == nil {
			level(resample(samples, rate))
		}
	})
}
