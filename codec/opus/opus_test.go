package opus

import (
	"errors"
	"math"
	"testing"
	"time"

	libopus "gopkg.in/hraban/opus.v2"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

// TestTicks holds the table of contents against RFC 6716: table 2 for the
// length of a frame, section 3.2 for their number.
func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name   string
		packet []byte
		want   int // ticks of 48 kHz, 0 for an error
	}{
		{"empty", nil, 0},
		{"SILK 10 ms", []byte{0 << 3}, 480},
		{"SILK 20 ms", []byte{1 << 3}, 960},
		{"SILK 40 ms", []byte{6 << 3}, 1920},
		{"SILK 60 ms", []byte{11 << 3}, 2880},
		{"hybrid 10 ms", []byte{12 << 3}, 480},
		{"hybrid 20 ms", []byte{15 << 3}, 960},
		{"CELT 2.5 ms", []byte{16 << 3}, 120},
		{"CELT 5 ms", []byte{21 << 3}, 240},
		{"CELT 10 ms", []byte{26 << 3}, 480},
		{"CELT 20 ms", []byte{31 << 3}, 960},
		{"stereo makes no difference", []byte{31<<3 | 4}, 960},
		{"two equal frames", []byte{1<<3 | 1}, 1920},
		{"two frames", []byte{11<<3 | 2}, 5760},
		{"code 3 without a count", []byte{1<<3 | 3}, 0},
		{"code 3, no frames", []byte{1<<3 | 3, 0}, 0},
		{"code 3, six of 20 ms", []byte{1<<3 | 3, 6}, 5760},
		{"code 3, six, flags set", []byte{1<<3 | 3, 0xc6}, 5760},
		{"code 3, seven of 20 ms", []byte{1<<3 | 3, 7}, 0},
		{"code 3, 48 of 2.5 ms", []byte{16<<3 | 3, 48}, 5760},
		{"code 3, 49 of 2.5 ms", []byte{16<<3 | 3, 49}, 0},
	} {
		got, err := ticks(c.packet)
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d, %v, want %d", c.name, got, err, c.want)
		}
	}
}

// TestRates decodes at the rates of telephones too.
func TestRates(t *testing.T) {
	e := newEncoder(t, codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: 48000, Channels: 1}, Bitrate: 32000, Frame: 20 * time.Millisecond,
	})
	for _, rate := range []int{8000, 12000, 16000, 24000, 48000} {
		d, err := NewDecoder(codec.AudioFormat{Rate: rate, Channels: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var pcm []int16
		for i := range 25 {
			b, err := e.Encode(codectest.Tone(48000, 500, -12, i*960, 960))
			if err != nil {
				t.Fatal(err)
			}
			if n, err := d.Samples(b); n != rate/50 || err != nil {
				t.Errorf("%d Hz: %d samples, %v", rate, n, err)
			}
			pcm = make([]int16, rate/50)
			if n, err := d.Decode(b, pcm); n != rate/50 || err != nil {
				t.Fatalf("%d Hz: decoded %d samples, %v", rate, n, err)
			}
		}
		if l := codectest.ToneLevel(pcm, rate, 500); math.Abs(l+12) > 1 {
			t.Errorf("%d Hz: tone at %.1f dBFS, want -12", rate, l)
		}
		for _, n := range []int{1, rate / 400, rate / 50, rate/50 + 3, rate} {
			pcm := make([]int16, n)
			if err := d.Conceal(pcm); err != nil {
				t.Errorf("%d Hz: conceal %d: %v", rate, n, err)
			}
		}
	}
}

func TestErrorsWrapLibopus(t *testing.T) {
	d, err := NewDecoder(codec.AudioFormat{Rate: 48000, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// Code 1 splits what follows into halves, which an odd number does not have.
	_, err = d.Decode([]byte{1<<3 | 1, 0}, make([]int16, 5760))
	if !errors.Is(err, libopus.ErrInvalidPacket) {
		t.Errorf("got %v, want an invalid packet", err)
	}
}

func newEncoder(t testing.TB, cfg codec.AudioConfig) codec.AudioEncoder {
	t.Helper()
	e, err := NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// FuzzDecoder decodes data in all three ways.
func FuzzDecoder(f *testing.F) {
	e := newEncoder(f, codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: 48000, Channels: 1},
		Bitrate:     24000, Frame: 20 * time.Millisecond, FEC: true, Loss: 0.2,
	})
	for i := range 3 {
		b, err := e.Encode(codectest.Tone(48000, 440, -12, i*960, 960))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	f.Add([]byte{0x0b})
	f.Add([]byte{0x0b, 0x06, 1, 2, 3, 4, 5, 6})
	f.Add([]byte{0xfe, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, packet []byte) {
		for channels := 1; channels <= 2; channels++ {
			d, err := NewDecoder(codec.AudioFormat{Rate: 48000, Channels: channels})
			if err != nil {
				t.Fatal(err)
			}
			want, err := d.Samples(packet)
			if want > 5760 || err == nil && want <= 0 {
				t.Fatalf("%d samples, %v", want, err)
			}
			got, derr := d.Decode(packet, make([]int16, 5760*channels))
			if derr == nil && (err != nil || got != want) {
				t.Fatalf("Samples says %d, %v, Decode %d", want, err, got)
			}
			if derr != nil && got != 0 {
				t.Fatalf("%d samples and %v", got, derr)
			}
			d.DecodeFEC(packet, make([]int16, 961*channels))
			if err := d.Conceal(make([]int16, 960*channels)); err != nil {
				t.Fatal(err)
			}
			if _, err := (packets{}).Append(nil, packet); (err == nil) != (len(packet) > 0) {
				t.Fatal(err)
			}
			d.Close()
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for name, fec := range map[string]bool{"plain": false, "fec": true} {
		b.Run(name, func(b *testing.B) {
			cfg := codec.AudioConfig{
				AudioFormat: codec.AudioFormat{Rate: 48000, Channels: 1},
				Bitrate:     32000, Frame: 20 * time.Millisecond, Complexity: 5, FEC: fec,
			}
			if fec {
				cfg.Loss = 0.1
			}
			e := newEncoder(b, cfg)
			pcm := codectest.Tone(48000, 400, -12, 0, 48000)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := e.Encode(pcm[i%50*960:][:960]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	e := newEncoder(b, codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: 48000, Channels: 1},
		Bitrate:     32000, Frame: 20 * time.Millisecond, Complexity: 5,
	})
	var packets [][]byte
	for i := range 50 {
		p, err := e.Encode(codectest.Tone(48000, 400, -12, i*960, 960))
		if err != nil {
			b.Fatal(err)
		}
		packets = append(packets, append([]byte(nil), p...))
	}
	d, err := NewDecoder(codec.AudioFormat{Rate: 48000, Channels: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	pcm := make([]int16, 960)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := d.Decode(packets[i%50], pcm); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMost makes packets of two steady tones, for which Opus takes more than it is
// told, and wants them to keep to what they may take and to sound as loud as they are.
func TestMost(t *testing.T) {
	const most, count, values = 94, 100, 2880
	for _, bytes := range []int{0, most} {
		cfg := codec.AudioConfig{
			AudioFormat: codec.AudioFormat{Rate: 48000, Channels: 1}, Bitrate: 11000, Frame: 60 * time.Millisecond,
			Complexity: 5, FEC: true, Loss: 0.05, Most: bytes,
		}
		enc, err := NewEncoder(cfg)
		if err != nil {
			t.Fatal(err)
		}
		dec, err := NewDecoder(cfg.AudioFormat)
		if err != nil {
			t.Fatal(err)
		}
		largest, in, out := 0, 0., 0.
		pcm, heard := make([]int16, values), make([]int16, values)
		for k := range count {
			for i := range pcm {
				s := 2 * math.Pi * float64(k*values+i) / 48000
				pcm[i] = int16(4000*math.Sin(700*s) + 4000*math.Sin(1030*s))
				in += float64(pcm[i]) * float64(pcm[i])
			}
			b, err := enc.Encode(pcm)
			if err != nil {
				t.Fatal(err)
			}
			largest = max(largest, len(b))
			if _, err := dec.Decode(b, heard); err != nil {
				t.Fatal(err)
			}
			for _, v := range heard {
				out += float64(v) * float64(v)
			}
		}
		if bytes == 0 && largest <= most {
			t.Errorf("no packet is larger than %d bytes unbound: nothing is tested", largest)
		}
		if bytes > 0 && largest > bytes {
			t.Errorf("a packet has %d bytes of at most %d", largest, bytes)
		}
		if d := 10 * math.Log10(out/in); math.Abs(d) > 3 {
			t.Errorf("of at most %d bytes it sounds %.1f dB louder", bytes, d)
		}
		_, _ = enc.Close(), dec.Close()
	}
}
