package codectest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"mixdown/codec"
)

// Audio runs the whole suite over one row of sound, whose highest tone is to be
// of band Hz. Powers that the row does not have are skipped.
func Audio(t *testing.T, row *codec.Codec, band float64) {
	t.Run("row", func(t *testing.T) { audioRow(t, row) })
	t.Run("tones", func(t *testing.T) { audioTones(t, row) })
	t.Run("band", func(t *testing.T) { audioBand(t, row, band) })
	t.Run("follow", func(t *testing.T) { audioFollow(t, row) })
	t.Run("lengths", func(t *testing.T) { audioLengths(t, row) })
	t.Run("conceal", func(t *testing.T) { audioConceal(t, row) })
	t.Run("repair", func(t *testing.T) { audioRepair(t, row) })
	t.Run("live bit rate", func(t *testing.T) { audioBitrate(t, row) })
	t.Run("silence", func(t *testing.T) { audioSilence(t, row) })
	t.Run("payload", func(t *testing.T) { audioPayload(t, row) })
	t.Run("garbage", func(t *testing.T) { audioGarbage(t, row) })
	t.Run("refusals", func(t *testing.T) { audioRefusals(t, row) })
	t.Run("close", func(t *testing.T) { audioClose(t, row) })
}

const (
	rate   = 48000
	frame  = 20 * time.Millisecond
	values = rate / 50 // in one frame of one channel
)

// speech is how a conference codes sound.
func speech(channels int) codec.AudioConfig {
	return codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: rate, Channels: channels},
		Bitrate:     32_000 * channels, Frame: frame, Complexity: 5,
	}
}

func audioEncoder(t *testing.T, row *codec.Codec, cfg codec.AudioConfig) codec.AudioEncoder {
	t.Helper()
	e, err := row.NewAudioEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeTwice(t, e) })
	return e
}

func audioDecoder(t *testing.T, row *codec.Codec, channels int) codec.AudioDecoder {
	t.Helper()
	d, err := row.NewAudioDecoder(codec.AudioFormat{Rate: rate, Channels: channels})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeTwice(t, d) })
	return d
}

// packet codes one frame and gives the packet bytes of its own.
func packet(t *testing.T, e codec.AudioEncoder, pcm []int16) []byte {
	t.Helper()
	b, err := e.Encode(pcm)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}

// interleave makes n frames of sound with a tone of its own in each channel.
func interleave(level float64, start, n int, hz ...float64) []int16 {
	pcm := make([]int16, n*len(hz))
	for c, f := range hz {
		for i, v := range Tone(rate, f, level, start, n) {
			pcm[i*len(hz)+c] = v
		}
	}
	return pcm
}

// channel takes one channel out of interleaved sound.
func channel(pcm []int16, c, channels int) []int16 {
	out := make([]int16, 0, len(pcm)/channels)
	for i := c; i < len(pcm); i += channels {
		out = append(out, pcm[i])
	}
	return out
}

func audioRow(t *testing.T, row *codec.Codec) {
	if row.Kind != codec.Audio || row.Name == "" || row.ClockRate == 0 || row.Channels == 0 {
		t.Errorf("row is %+v", row)
	}
	if row.Payload == nil || row.NewAudioDecoder == nil || row.NewAudioEncoder == nil {
		t.Error("row lacks a payload format, a decoder or an encoder")
	}
}

// audioTones sends a tone in each channel, coded and decoded in one and two.
func audioTones(t *testing.T, row *codec.Codec) {
	for _, c := range []struct {
		name string
		hz   []float64
		out  int
		want [][]float64 // the tones of each channel that comes out
		rich bool        // at 64 kb/s more
	}{
		{"mono", []float64{440}, 1, [][]float64{{440}}, false},
		{"mono to stereo", []float64{1000}, 2, [][]float64{{1000}, {1000}}, false},
		{"stereo", []float64{440, 1000}, 2, [][]float64{{440}, {1000}}, true},
		{"stereo to mono", []float64{700, 700}, 1, [][]float64{{700}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.want) > int(row.Channels) && c.want[0][0] != c.want[1][0] {
				t.Skip("the codec has one channel")
			}
			const level, frames = -12, 50
			cfg := speech(len(c.hz))
			if c.rich {
				cfg.Bitrate += 64_000
			}
			e, d := audioEncoder(t, row, cfg), audioDecoder(t, row, c.out)
			var heard []int16
			pcm := make([]int16, values*c.out)
			for i := range frames {
				b := packet(t, e, interleave(level, i*values, values, c.hz...))
				n, err := d.Decode(b, pcm)
				if err != nil || n != values {
					t.Fatalf("packet %d: %d samples, %v", i, n, err)
				}
				heard = append(heard, pcm...)
			}
			heard = heard[len(heard)/2:]
			for i, tones := range c.want {
				own := channel(heard, i, c.out)
				for _, hz := range tones {
					if l := ToneLevel(own, rate, hz); math.Abs(l-level) > 1 {
						t.Errorf("channel %d: %v Hz at %.1f dBFS, want %d", i, hz, l, level)
					}
				}
				for _, hz := range []float64{440, 700, 1000} {
					if l := ToneLevel(own, rate, hz); hz != tones[0] && l > level-30 {
						t.Errorf("channel %d: foreign tone of %v Hz at %.1f dBFS", i, hz, l)
					}
				}
			}
		})
	}
}

// audioLengths codes packets of every length that the encoder makes.
func audioLengths(t *testing.T, row *codec.Codec) {
	made := 0
	for _, ms := range []int{10, 20, 40, 60, 80, 100, 120} {
		for _, bps := range []int{12_000, 64_000} {
			cfg := speech(1)
			cfg.Frame, cfg.Bitrate = time.Duration(ms)*time.Millisecond, bps
			e, err := row.NewAudioEncoder(cfg)
			if err != nil {
				continue
			}
			made++
			t.Cleanup(func() { closeTwice(t, e) })
			d := audioDecoder(t, row, 2)
			n := rate / 1000 * ms
			b := packet(t, e, Tone(rate, 440, -12, 0, n))
			if got, err := d.Samples(b); err != nil || got != n {
				t.Errorf("%d ms: Samples says %d, %v, want %d", ms, got, err, n)
			}
			// More room than the packet needs, and none beyond the length.
			pcm := make([]int16, 2*n+64+64)
			guard := pcm[2*n+64:]
			for i := range guard {
				guard[i] = 0x5555
			}
			if got, err := d.Decode(b, pcm[:2*n+64]); err != nil || got != n {
				t.Errorf("%d ms: Decode gives %d, %v, want %d", ms, got, err, n)
			}
			for i, v := range guard {
				if v != 0x5555 {
					t.Fatalf("%d ms: written %d values behind the end", ms, i+1)
				}
			}
			if _, err := d.Decode(b, make([]int16, 2*n)[:n]); err == nil {
				t.Errorf("%d ms: decoded into too little room", ms)
			}
		}
	}
	if made == 0 {
		t.Error("the encoder makes no packet of 10 to 120 ms")
	}
}

// marked returns n values that no codec would make.
func marked(n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		pcm[i] = math.MinInt16 + int16(i&1)
	}
	return pcm
}

func unmarked(pcm []int16) error {
	for i, v := range pcm {
		if v == math.MinInt16+int16(i&1) {
			return fmt.Errorf("value %d of %d was not filled", i, len(pcm))
		}
	}
	return nil
}

func audioConceal(t *testing.T, row *codec.Codec) {
	for channels := 1; channels <= 2; channels++ {
		e, d := audioEncoder(t, row, speech(1)), audioDecoder(t, row, channels)
		pcm := make([]int16, values*channels)
		for i := range 25 {
			if _, err := d.Decode(packet(t, e, Tone(rate, 440, -12, i*values, values)), pcm); err != nil {
				t.Fatal(err)
			}
		}
		pcm = marked(values * channels)
		if err := d.Conceal(pcm); err != nil {
			t.Fatal(err)
		}
		if err := unmarked(pcm); err != nil {
			t.Error(err)
		}
		if l := ToneLevel(channel(pcm, 0, channels), rate, 440); l < -24 {
			t.Errorf("the concealed frame has the tone at %.1f dBFS, want more than -24", l)
		}
		for _, n := range []int{0, 1, 7, 120, 121, 1000, 5760, 20_001} {
			pcm := marked(n * channels)
			if err := d.Conceal(pcm); err != nil {
				t.Errorf("conceal %d samples: %v", n, err)
			}
			if err := unmarked(pcm); err != nil {
				t.Errorf("conceal: %v", err)
			}
			b := packet(t, e, Tone(rate, 440, -12, 0, values))
			pcm = marked(n * channels)
			if err := d.DecodeFEC(b, pcm); err != nil {
				t.Errorf("repair %d samples: %v", n, err)
			}
			if err := unmarked(pcm); err != nil {
				t.Errorf("repair: %v", err)
			}
		}
		if err := audioDecoder(t, row, channels).Conceal(marked(values * channels)); err != nil {
			t.Errorf("conceal before the first packet: %v", err)
		}
	}
}

// audioRepair changes the tone with the very packet that is lost: only its
// repair knows the new one.
func audioRepair(t *testing.T, row *codec.Codec) {
	const lost = 30
	cfg := speech(1)
	cfg.FEC, cfg.Bitrate = true, 24_000
	e := audioEncoder(t, row, cfg)
	s, ok := e.(codec.LossSetter)
	if !ok {
		t.Skip("the encoder adds no repair")
	}
	if err := s.SetLoss(0.25); err != nil {
		t.Fatal(err)
	}
	var packets [][]byte
	for i := range lost + 2 {
		hz := 400.0
		if i >= lost {
			hz = 900
		}
		packets = append(packets, packet(t, e, Tone(rate, hz, -12, i*values, values)))
	}
	level := func(fill func(d codec.AudioDecoder, pcm []int16) error) float64 {
		d := audioDecoder(t, row, 1)
		pcm := make([]int16, values)
		for _, b := range packets[:lost] {
			if _, err := d.Decode(b, pcm); err != nil {
				t.Fatal(err)
			}
		}
		pcm = marked(values)
		if err := fill(d, pcm); err != nil {
			t.Fatal(err)
		}
		if err := unmarked(pcm); err != nil {
			t.Error(err)
		}
		return ToneLevel(pcm[values/2:], rate, 900)
	}
	repaired := level(func(d codec.AudioDecoder, pcm []int16) error { return d.DecodeFEC(packets[lost+1], pcm) })
	concealed := level(func(d codec.AudioDecoder, pcm []int16) error { return d.Conceal(pcm) })
	if repaired < -18 || repaired < concealed+10 {
		t.Errorf("the new tone is at %.1f dBFS repaired and %.1f concealed", repaired, concealed)
	}
	if s.SetLoss(-0.1) == nil || s.SetLoss(1.1) == nil || s.SetLoss(math.NaN()) == nil {
		t.Error("a loss outside of 0 to 1 is accepted")
	}
}

func audioBitrate(t *testing.T, row *codec.Codec) {
	const frames, tolerance = 100, 0.25
	e := audioEncoder(t, row, speech(1))
	s, ok := e.(codec.BitrateSetter)
	if !ok {
		t.Skip("the encoder's rate is fixed")
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, bps := range []int{32_000, 16_000, 48_000, 24_000} {
		if err := s.SetBitrate(bps); err != nil {
			t.Fatal(err)
		}
		size := 0
		for i := range frames {
			pcm := Tone(rate, 300, -20, i*values, values)
			for k := range pcm {
				pcm[k] += int16(rng.IntN(1600) - 800)
			}
			b := packet(t, e, pcm)
			if i >= 10 {
				size += len(b)
			}
		}
		got := float64(size*8) * 50 / (frames - 10)
		if math.Abs(got-float64(bps)) > tolerance*float64(bps) {
			t.Errorf("asked for %d bit/s, got %.0f", bps, got)
		}
	}
	if s.SetBitrate(0) == nil || s.SetBitrate(-5) == nil {
		t.Error("no bit rate at all is accepted")
	}
}

// audioSilence wants next to nothing sent in silence, and silence heard.
func audioSilence(t *testing.T, row *codec.Codec) {
	cfg := speech(1)
	cfg.DTX = row.Constant == 0
	e, d := audioEncoder(t, row, cfg), audioDecoder(t, row, 1)
	pcm, size := make([]int16, values), 0
	for i := range 150 {
		b := packet(t, e, make([]int16, values))
		if i >= 50 {
			size += len(b)
		}
		if _, err := d.Decode(b, pcm); err != nil {
			t.Fatal(err)
		}
	}
	if bps := size * 8 / 2; cfg.DTX && bps > 1500 {
		t.Errorf("silence takes %d bit/s", bps)
	}
	for _, v := range pcm {
		if v < -8 || v > 8 {
			t.Fatalf("silence sounds like %d", v)
		}
	}
}
