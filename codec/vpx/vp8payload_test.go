package vpx

import (
	"bytes"
	"fmt"
	"testing"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

// key is the beginning of a keyframe of 16x16 (RFC 6386, section 9.1).
var key = []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x10, 0x00, 0x10, 0x00, 0x55}

func TestDescriptors(t *testing.T) {
	for _, c := range []struct {
		name    string
		header  []byte
		begins  bool
		picture int // -1 for none
		base    int
		upper   bool
	}{
		{"plain", []byte{0x10}, true, -1, -1, false},
		{"plain continuation", []byte{0x00}, false, -1, -1, false},
		{"second partition begins", []byte{0x11}, false, -1, -1, false},
		{"non-reference, reserved bits", []byte{0x78}, true, -1, -1, false},
		{"empty extension", []byte{0x90, 0x00}, true, -1, -1, false},
		{"7-bit picture", []byte{0x90, 0x80, 0x7f}, true, 0x7f, -1, false},
		{"15-bit picture", []byte{0x90, 0x80, 0xff, 0xfe}, true, 0x7ffe, -1, false},
		{"base index", []byte{0x90, 0x40, 0xab}, true, -1, 0xab, false},
		{"layer", []byte{0x90, 0x20, 0x40}, true, -1, -1, true},
		{"key index", []byte{0x90, 0x10, 0xdf}, true, -1, -1, false},
		{"layer and key index", []byte{0x90, 0x30, 0x9f}, true, -1, -1, true},
		{"all, 7 bits", []byte{0x90, 0xf0, 0x05, 0x06, 0x20}, true, 5, 6, false},
		{"all, 15 bits", []byte{0x80, 0xf0, 0x85, 0x01, 0x06, 0xe0}, false, 0x501, 6, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			payload := append(bytes.Clone(c.header), key...)
			dep := VP8Payload{}.NewDepacketizer()
			if b := dep.Begins(payload); b != c.begins {
				t.Errorf("Begins is %v", b)
			}
			unit, err := dep.Append([]byte("x"), payload)
			if err != nil || !bytes.Equal(unit, append([]byte("x"), key...)) {
				t.Errorf("unit is %x, %v", unit, err)
			}
			for n := range c.header {
				if unit, err := dep.Append([]byte("x"), c.header[:n+1]); err == nil || string(unit) != "x" {
					t.Errorf("%x was accepted as %x", c.header[:n+1], unit)
				}
				if dep.Begins(c.header[:n+1]) {
					t.Errorf("%x begins a unit", c.header[:n+1])
				}
			}
			want := codec.Counters(0)
			if c.picture >= 0 {
				want |= hasPicture | codec.Counters(c.picture)
			}
			if c.base >= 0 {
				want |= hasBase | codec.Counters(c.base)<<16
			}
			if c.upper {
				want |= isUpper
			}
			got := VP8Payload{}.Counters(payload)
			if got != want {
				t.Errorf("counters are %#x, want %#x", got, want)
			}
			// Shifting by nothing is nothing, by all there is comes around.
			shifted := bytes.Clone(payload)
			VP8Payload{}.Shift(shifted, 0)
			if !bytes.Equal(shifted, payload) {
				t.Errorf("shifted by 0: %x", shifted)
			}
			VP8Payload{}.Shift(shifted, 0x01_0001)
			back := codec.Counters(0xff_7fff)
			VP8Payload{}.Shift(shifted, back)
			if !bytes.Equal(shifted, payload) {
				t.Errorf("shifted forth and back: %x", shifted)
			}
		})
	}
}

func TestFollowAndShift(t *testing.T) {
	header := func(picture, base int, wide bool, tid byte) []byte {
		b := []byte{0x90, 0xe0}
		if wide {
			b = append(b, 0x80|byte(picture>>8), byte(picture))
		} else {
			b = append(b, byte(picture))
		}
		return append(append(b, byte(base), tid<<6), key...)
	}
	for _, c := range []struct{ last, first, want []byte }{
		{header(100, 10, true, 0), header(7, 200, true, 0), header(101, 11, true, 0)},
		{header(0x7fff, 0xff, true, 0), header(7, 200, true, 0), header(0, 0, true, 0)},
		{header(127, 255, false, 0), header(7, 200, false, 0), header(0, 0, false, 0)},
		{header(5, 5, false, 0), header(5, 5, false, 0), header(6, 6, false, 0)},
		{header(0x1234, 9, true, 0), header(3, 1, false, 0), header(0x35, 10, false, 0)}, // a narrow one after a wide one
		{header(3, 9, false, 0), header(0x1234, 1, true, 0), header(4, 10, true, 0)},
		{header(50, 20, true, 0), header(1, 1, true, 2), header(51, 20, true, 2)}, // upper layer: the same base
		{[]byte{0x10, 1, 2}, header(9, 9, true, 0), header(9, 9, true, 0)},        // nothing to follow
		{nil, header(9, 9, true, 0), header(9, 9, true, 0)},
		{header(9, 9, true, 0), append([]byte{0x10}, key...), append([]byte{0x10}, key...)}, // nothing to shift
	} {
		t.Run(fmt.Sprintf("%x after %x", c.first, c.last), func(t *testing.T) {
			p := VP8Payload{}
			got := bytes.Clone(c.first)
			p.Shift(got, p.Follow(p.Counters(c.last), p.Counters(c.first)))
			if !bytes.Equal(got, c.want) {
				t.Errorf("got  %x\nwant %x", got, c.want)
			}
		})
	}
}

func TestPacketizerBalances(t *testing.T) {
	for size := 1; size < 5000; size += 7 {
		p := VP8Payload{}.NewPacketizer()
		payloads, err := p.Packetize(codec.Unit{Data: make([]byte, size)}, 500)
		if err != nil {
			t.Fatal(err)
		}
		least, most := 500, 0
		for _, b := range payloads {
			least, most = min(least, len(b)), max(most, len(b))
		}
		if most > 500 || most-least > 1 || len(payloads) != (size+493)/494 {
			t.Fatalf("%d bytes became %d payloads of %d to %d", size, len(payloads), least, most)
		}
	}
}

func TestPacketizerLayers(t *testing.T) {
	p := VP8Payload{}.NewPacketizer()
	for i, c := range []struct {
		tid  uint8
		want []byte // from the PictureID on
	}{
		{0, []byte{0x80, 0, 1, 0x00}}, {2, []byte{0x80, 1, 1, 0xa0}}, {1, []byte{0x80, 2, 1, 0x60}},
		{2, []byte{0x80, 3, 1, 0xa0}}, {0, []byte{0x80, 4, 2, 0x00}},
	} {
		payloads, err := p.Packetize(codec.Unit{Data: key, Temporal: c.tid}, 12)
		if err != nil || len(payloads) != 2 {
			t.Fatalf("%d payloads, %v", len(payloads), err)
		}
		for n, b := range payloads {
			first := byte(0x90 - 0x10*n)
			if want := append([]byte{first, 0xe0}, c.want...); !bytes.Equal(b[:6], want) {
				t.Errorf("picture %d, payload %d: %x, want %x", i, n, b[:6], want)
			}
		}
	}
	if _, err := p.Packetize(codec.Unit{Data: key, Temporal: 4}, 1200); err == nil {
		t.Error("layer 4 is accepted")
	}
}

func TestKeyframe(t *testing.T) {
	codectest.Keyframes(t, VP8Payload{}, key, map[int]byte{0: 0x11, 3: 0x9c, 4: 0, 5: 0}, key[:9])
}

// FuzzVP8Payload holds the depacketizer and the shifting together: neither
// breaks, and shifting changes nothing but counters.
func FuzzVP8Payload(f *testing.F) {
	f.Add([]byte{0x10, 1, 2}, uint64(0x01_0001))
	f.Add([]byte{0x90, 0x80, 0xff, 0xfe, 9}, uint64(2))
	f.Add([]byte{0x90, 0xf0, 0x85, 0x01, 0x06, 0xe0, 9, 9}, uint64(0xff_7fff))
	f.Add([]byte{0x80, 0xe0, 0x05, 0xff, 0x20, 0x9d}, uint64(1<<16|3))
	f.Add([]byte{0x90, 0x80, 0x80}, uint64(1))
	f.Fuzz(func(t *testing.T, payload []byte, shift uint64) {
		fuzzPayload(t, VP8Payload{}, payload, shift)
	})
}

// fuzzPayload depacketizes and shifts payload.
func fuzzPayload(t *testing.T, p codec.Payload, payload []byte, shift uint64) {
	dep := p.NewDepacketizer()
	unit, err := dep.Append(nil, payload)
	begins := dep.Begins(payload)
	if err != nil && (begins || len(unit) > 0) {
		t.Fatalf("%x begins %v, unit %x, %v", payload, begins, unit, err)
	}
	if err == nil && (begins && len(unit) == 0 || len(unit) >= len(payload)) {
		t.Fatalf("%x holds %x", payload, unit)
	}
	dep.Keyframe(unit)
	by := codec.Counters(shift & 0xff_7fff)
	before := p.Counters(payload)
	shifted := bytes.Clone(payload)
	p.Shift(shifted, by)
	again, err2 := dep.Append(nil, shifted)
	if (err == nil) != (err2 == nil) || !bytes.Equal(unit, again) || dep.Begins(shifted) != begins {
		t.Fatalf("%x shifted to %x", payload, shifted)
	}
	after := p.Counters(shifted)
	if after>>32 != before>>32 {
		t.Fatalf("%x has other fields than %x", shifted, payload)
	}
	if err == nil {
		follow := p.Follow(before, p.Counters(payload))
		p.Shift(payload, follow)
		if p.Follow(before, p.Counters(payload))&0x7f != 0 {
			t.Fatalf("%x does not follow", payload)
		}
	}
}
