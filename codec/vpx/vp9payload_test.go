package vpx

import (
	"bytes"
	"testing"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

// vp9key is the beginning of a keyframe of 330x186 in SMPTE 170M, limited
// range (VP9 bitstream specification, section 6.2).
var vp9key = []byte{0x82, 0x49, 0x83, 0x42, 0x60, 0x14, 0x90, 0x0b, 0x90, 0x55}

func TestVP9Descriptors(t *testing.T) {
	for _, c := range []struct {
		name    string
		header  []byte
		begins  bool
		spatial bool
		picture int // -1 for none
		base    int
		upper   bool
	}{
		{"plain", []byte{0x08}, true, false, -1, -1, false},
		{"plain continuation", []byte{0x00}, false, false, -1, -1, false},
		{"7-bit picture", []byte{0x88, 0x7f}, true, false, 0x7f, -1, false},
		{"15-bit picture", []byte{0x88, 0xff, 0xfe}, true, false, 0x7ffe, -1, false},
		{"layer and base index", []byte{0x28, 0x30, 0xab}, true, false, -1, 0xab, true},
		{"base layer", []byte{0x2c, 0x00, 0xab}, true, false, -1, 0xab, false},
		{"upper spatial layer", []byte{0x28, 0x02, 0xab}, false, true, -1, 0xab, false},
		{"flexible keyframe", []byte{0x98, 0x05}, true, false, 5, -1, false},
		{"flexible, one reference", []byte{0xd8, 0x05, 0x02}, true, false, 5, -1, false},
		{"flexible, three references", []byte{0xf8, 0x05, 0x20, 0x03, 0x05, 0x06}, true, false, 5, -1, true},
		{"structure without anything", []byte{0x0a, 0x00}, true, false, -1, -1, false},
		{"structure of two sizes", []byte{0x0a, 0x30, 1, 64, 0, 180, 2, 128, 1, 104}, true, false, -1, -1, false},
		{"structure with a group", []byte{0xaa, 0x80, 1, 0, 7, 0x08, 2, 0x04, 1, 0x38, 1, 2}, true, false, 1, 7, false},
		{"empty group", []byte{0x0a, 0x08, 0}, true, false, -1, -1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			payload := append(bytes.Clone(c.header), vp9key...)
			dep := VP9Payload{}.NewDepacketizer()
			if b := dep.Begins(payload); b != c.begins {
				t.Errorf("Begins is %v", b)
			}
			want := append([]byte("x"), vp9key...)
			if c.spatial {
				want = want[:1]
			}
			if unit, err := dep.Append([]byte("x"), payload); err != nil || !bytes.Equal(unit, want) {
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
			counters := codec.Counters(0)
			if c.picture >= 0 {
				counters |= hasPicture | codec.Counters(c.picture)
			}
			if c.base >= 0 {
				counters |= hasBase | codec.Counters(c.base)<<16
			}
			if c.upper {
				counters |= isUpper
			}
			if got := (VP9Payload{}).Counters(payload); got != counters {
				t.Errorf("counters are %#x, want %#x", got, counters)
			}
			shifted := bytes.Clone(payload)
			VP9Payload{}.Shift(shifted, 0x01_0001)
			VP9Payload{}.Shift(shifted, 0xff_7fff)
			if !bytes.Equal(shifted, payload) {
				t.Errorf("shifted forth and back: %x", shifted)
			}
		})
	}
	four := append([]byte{0x58, 3, 3, 3, 2}, vp9key...)
	if _, err := (VP9Payload{}).NewDepacketizer().Append(nil, four); err == nil {
		t.Error("four references are accepted")
	}
}

func TestVP9Packetizer(t *testing.T) {
	p := VP9Payload{}.NewPacketizer()
	for i, c := range []struct {
		tid, layers uint8
		key         bool
		first, last []byte
	}{
		{0, 1, true, []byte{0xaa, 0x80, 0, 0x00, 1, 0x18, 1, 74, 0, 186, 1, 0x04, 1}, []byte{0xa4, 0x80, 0, 0x00, 1}},
		{0, 2, true, []byte{0xaa, 0x80, 1, 0x00, 2, 0x18, 1, 74, 0, 186, 2, 0x04, 2, 0x34, 1}, []byte{0xa4, 0x80, 1, 0x00, 2}},
		{0, 3, true, []byte{0xaa, 0x80, 2, 0x00, 3, 0x18, 1, 74, 0, 186, 4, 0x04, 4, 0x54, 1, 0x34, 2, 0x54, 3}, []byte{0xa4, 0x80, 2, 0x00, 3}},
		{2, 3, false, []byte{0xe8, 0x80, 3, 0x50, 3}, []byte{0xe4, 0x80, 3, 0x50, 3}},
		{1, 3, false, []byte{0xe8, 0x80, 4, 0x30, 3}, []byte{0xe4, 0x80, 4, 0x30, 3}},
		{0, 3, false, []byte{0xe8, 0x80, 5, 0x00, 4}, []byte{0xe4, 0x80, 5, 0x00, 4}},
	} {
		data := append(bytes.Clone(vp9key), make([]byte, 50)...)
		payloads, err := p.Packetize(codec.Unit{Data: data, Keyframe: c.key, Temporal: c.tid, Layers: c.layers}, 40)
		if err != nil || len(payloads) < 2 {
			t.Fatalf("%d payloads, %v", len(payloads), err)
		}
		if !bytes.HasPrefix(payloads[0], c.first) {
			t.Errorf("picture %d begins %x, want %x", i, payloads[0], c.first)
		}
		if b := payloads[len(payloads)-1]; !bytes.HasPrefix(b, c.last) {
			t.Errorf("picture %d ends %x, want %x", i, b, c.last)
		}
		var unit []byte
		dep := VP9Payload{}.NewDepacketizer()
		for _, b := range payloads {
			if len(b) > 40 {
				t.Errorf("picture %d: payload of %d bytes", i, len(b))
			}
			if unit, err = dep.Append(unit, b); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(unit, data) {
			t.Errorf("picture %d comes back as %x", i, unit)
		}
	}
	for _, u := range []codec.Unit{
		{Data: vp9key, Temporal: 3}, {Data: vp9key, Layers: 4},
	} {
		if _, err := p.Packetize(u, 1200); err == nil {
			t.Errorf("layer %d of %d is accepted", u.Temporal, u.Layers)
		}
	}
}

func TestVP9Keyframe(t *testing.T) {
	codectest.Keyframes(t, VP9Payload{}, vp9key, map[int]byte{0: 0x86, 1: 0x48, 2: 0, 3: 0}, vp9key[:3])
}

// TestVP9Header reads what the encoder wrote of size and colour.
func TestVP9Header(t *testing.T) {
	cfg := codec.VideoConfig{Width: 330, Height: 186, FPS: 25, Bitrate: 200_000}
	e, err := NewVP9Encoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	f := codectest.MovingPicture(cfg.Width, cfg.Height, 0)
	defer f.Release()
	u, err := e.Encode(f, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if w, h, ok := vp9Size(u.Data); !ok || w != cfg.Width || h != cfg.Height {
		t.Errorf("header says %dx%d, %v", w, h, ok)
	}
	const smpte170m = 3
	if space, full := u.Data[4]>>5, u.Data[4]&0x10 != 0; space != smpte170m || full {
		t.Errorf("colour space %d, full range %v", space, full)
	}
}

// FuzzVP9Payload holds the depacketizer and the shifting together: neither
// breaks, and shifting changes nothing but counters.
func FuzzVP9Payload(f *testing.F) {
	f.Add([]byte{0x08, 1, 2}, uint64(0x01_0001))
	f.Add([]byte{0xaa, 0x80, 1, 0, 7, 0x18, 1, 74, 0, 186, 2, 0x04, 2, 0x34, 1, 9}, uint64(3))
	f.Add([]byte{0xf8, 0x05, 0x20, 0x03, 0x05, 0x06, 9, 9}, uint64(0xff_7fff))
	f.Add([]byte{0x0a, 0xf8, 0xff, 0xff, 0xff}, uint64(1))
	f.Add([]byte{0x28, 0x02, 0xab, 1}, uint64(1<<16))
	f.Fuzz(func(t *testing.T, payload []byte, shift uint64) {
		fuzzPayload(t, VP9Payload{}, payload, shift)
	})
}
