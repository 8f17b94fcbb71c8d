package aom

import (
	"bytes"
	"testing"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

// OBUs with size fields.
var (
	delimiter = []byte{0x12, 0x00}
	sequence  = []byte{0x0a, 0x03, 0x00, 0x11, 0x22}             // not reduced
	key       = []byte{0x32, 0x05, 0x10, 0x01, 0x02, 0x03, 0x04} // shown key frame
	inter     = []byte{0x32, 0x04, 0x30, 0x01, 0x02, 0x03}       // shown inter frame
	layered   = []byte{0x36, 0x20, 0x03, 0x30, 0x01, 0x02}       // the same with an extension
	tiles     = []byte{0x42, 0x01, 0x55}                         // a tile list
	group     = []byte{0x22, 0x01, 0x55}                         // a tile group
)

// join joins bytes.
func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// bare takes the size field out of an OBU without an extension.
func bare(o []byte) []byte { return join([]byte{o[0] &^ obuHasSize}, o[2:]) }

func TestDepacketizer(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 300)
	for _, c := range []struct {
		name     string
		payloads [][]byte
		begins   bool
		want     []byte // nil for an error at the last payload
	}{
		{"one OBU", [][]byte{join([]byte{0x10}, bare(inter))}, true, inter},
		{"one OBU with a length", [][]byte{join([]byte{0x00, 5}, bare(inter))}, true, inter},
		{"with its size field", [][]byte{join([]byte{0x10}, inter)}, true, inter},
		{"with an extension", [][]byte{{0x10, 0x34, 0x20, 0x30, 0x01, 0x02}}, true, layered},
		{"two OBUs", [][]byte{join([]byte{0x28, 4}, bare(sequence), bare(key))}, true, join(sequence, key)},
		{"four OBUs with lengths", [][]byte{join([]byte{0x08, 1}, []byte{0x10}, []byte{4}, bare(sequence), []byte{6}, bare(key), []byte{2, 0x20, 0x55})}, true, join(sequence, key, group)},
		{"delimiter and tile list", [][]byte{join([]byte{0x30, 2}, delimiter, []byte{3}, tiles, bare(inter))}, true, inter},
		{"in two", [][]byte{{0x50, 0x30, 0x30, 0x01}, {0x90, 0x02, 0x03}}, true, inter},
		{"in three", [][]byte{{0x50, 0x30}, {0xd0, 0x30, 0x01}, {0x90, 0x02, 0x03}}, true, inter},
		{"extension cut off", [][]byte{{0x50, 0x34}, {0x90, 0x20, 0x30, 0x01, 0x02}}, true, layered},
		{"size field cut off", [][]byte{{0x50, 0x32}, {0xd0, 0x04, 0x30}, {0x90, 0x01, 0x02, 0x03}}, true, inter},
		{"end and beginning", [][]byte{join([]byte{0x68, 4}, bare(sequence), bare(key)[:3]), join([]byte{0xa0, 3}, bare(key)[3:], bare(group))}, true, join(sequence, key, group)},
		{"size grows", [][]byte{join([]byte{0x50, 0x30}, long[:100]), join([]byte{0xd0}, long[100:127]), join([]byte{0xd0}, long[127:128]), join([]byte{0x90}, long[128:])}, true, join([]byte{0x32, 0xac, 0x02}, long)},
		{"tile group", [][]byte{join([]byte{0x10}, bare(group))}, false, group},
		{"nothing to continue", [][]byte{{0x90, 0x02}}, false, nil},
		{"not continued", [][]byte{{0x50, 0x30, 0x30}, join([]byte{0x10}, bare(inter))}, true, nil},
		{"forbidden bit", [][]byte{{0x10, 0xb0, 0x30}}, false, nil},
		{"element too long", [][]byte{{0x00, 9, 0x30, 0x30}}, false, nil},
		{"empty element", [][]byte{{0x00, 0, 0x30, 0x30}}, false, nil},
		{"fewer elements", [][]byte{{0x20, 2, 0x30, 0x30}}, false, nil},
		{"length without end", [][]byte{{0x00, 0xff, 0xff, 0xff}}, false, nil},
		{"length of 40 bits", [][]byte{{0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x30}}, false, nil},
		{"wrong size field", [][]byte{{0x10, 0x32, 0x09, 0x30}}, true, nil},
		{"extension missing", [][]byte{{0x10, 0x34}}, true, nil},
		{"header alone", [][]byte{{0x10}}, false, nil},
		{"empty", [][]byte{{}}, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dep := Payload{}.NewDepacketizer()
			if b := dep.Begins(c.payloads[0]); b != c.begins && c.want != nil {
				t.Errorf("Begins is %v", b)
			}
			var unit []byte
			var err error
			for i, p := range c.payloads {
				if unit, err = dep.Append(unit, p); err != nil && i < len(c.payloads)-1 {
					t.Fatalf("payload %d: %v", i, err)
				}
			}
			if c.want == nil {
				if err == nil {
					t.Errorf("made %x of it", unit)
				}
				if unit, err = dep.Append(nil, join([]byte{0x10}, bare(inter))); err != nil || !bytes.Equal(unit, inter) {
					t.Errorf("the next unit is %x, %v", unit, err)
				}
			} else if err != nil || !bytes.Equal(unit, c.want) {
				t.Errorf("unit is %x, %v", unit, err)
			}
		})
	}
}

func TestPacketizer(t *testing.T) {
	big := join([]byte{0x32, 90}, bytes.Repeat([]byte{7}, 90))
	for _, c := range []struct {
		name string
		unit codec.Unit
		mtu  int
		want [][]byte // nil for an error
	}{
		{"inter", codec.Unit{Data: inter}, 100, [][]byte{join([]byte{0x10}, bare(inter))}},
		{"delimiter and tile list", codec.Unit{Data: join(delimiter, tiles, inter)}, 100, [][]byte{join([]byte{0x10}, bare(inter))}},
		{"key", codec.Unit{Data: join(delimiter, sequence, key), Keyframe: true}, 100, [][]byte{join([]byte{0x28, 4}, bare(sequence), bare(key))}},
		{"many", codec.Unit{Data: join(sequence, group, group, group)}, 100, [][]byte{join([]byte{0x00, 4}, bare(sequence), []byte{2}, bare(group), []byte{2}, bare(group), []byte{2}, bare(group))}},
		{"extension", codec.Unit{Data: layered}, 100, [][]byte{{0x10, 0x34, 0x20, 0x30, 0x01, 0x02}}},
		{"in two", codec.Unit{Data: big}, 60, [][]byte{join([]byte{0x50, 0x30}, big[2:47]), join([]byte{0x90}, big[47:])}},
		{"without a size field", codec.Unit{Data: bare(inter)}, 100, [][]byte{join([]byte{0x10}, bare(inter))}},
		{"too small", codec.Unit{Data: inter}, 4, nil},
		{"wrong size field", codec.Unit{Data: inter[:4]}, 100, nil},
		{"delimiter alone", codec.Unit{Data: delimiter}, 100, nil},
		{"forbidden bit", codec.Unit{Data: []byte{0x80, 1, 2}}, 100, nil},
	} {
		codectest.Cuts(t, c.name, Payload{}, c.unit, c.mtu, c.want)
	}
}

// TestEverySize cuts keyframes of every size for small payloads and puts them
// together again.
func TestEverySize(t *testing.T) {
	p := Payload{}
	for size := range 700 {
		body := make([]byte, size+1)
		body[0] = 0x10
		frame := join([]byte{0x32}, make([]byte, sizeLEB(len(body))), body)
		putLEB(frame[1:1+sizeLEB(len(body))], len(body))
		unit := join(sequence, frame)
		for _, mtu := range []int{5, 6, 20, 130, 131, 132, 200} {
			payloads, err := p.NewPacketizer().Packetize(codec.Unit{Data: unit, Keyframe: true}, mtu)
			if err != nil {
				t.Fatal(err)
			}
			dep := p.NewDepacketizer()
			var again []byte
			for i, b := range payloads {
				if len(b) > mtu || (b[0]&bitN != 0) != (i == 0) {
					t.Fatalf("size %d, mtu %d: payload %d of %d is %x", size, mtu, i, len(payloads), b)
				}
				if again, err = dep.Append(again, b); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(again, unit) || !dep.Keyframe(again) {
				t.Fatalf("size %d, mtu %d: %x came back as %x", size, mtu, unit, again)
			}
		}
	}
}

func TestKeyframe(t *testing.T) {
	still := []byte{0x0a, 0x01, 0x18}
	for _, c := range []struct {
		name string
		unit []byte
		want bool
	}{
		{"key", join(sequence, key), true},
		{"key with a delimiter", join(delimiter, sequence, key), true},
		{"key in a frame header", join(sequence, []byte{0x1a, 0x01, 0x10}, group), true},
		{"still picture", join(still, inter), true},
		{"no sequence header", key, false},
		{"inter", inter, false},
		{"inter behind a sequence header", join(sequence, inter), false},
		{"hidden key", join(sequence, []byte{0x32, 0x01, 0x00}), false},
		{"shown again", join(sequence, []byte{0x1a, 0x01, 0x90}), false},
		{"sequence header alone", sequence, false},
		{"empty sequence header", join([]byte{0x0a, 0x00}, key), false},
		{"empty frame", join(sequence, []byte{0x32, 0x00}), false},
		{"cut", join(sequence, key[:4]), false},
		{"nothing", nil, false},
	} {
		if got := (Payload{}).NewDepacketizer().Keyframe(c.unit); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestDropBelow starves the encoder: it may drop pictures only where allowed,
// and units of dropped pictures are empty.
func TestDropBelow(t *testing.T) {
	for _, below := range []int{0, 60} {
		cfg := codec.VideoConfig{Width: 640, Height: 360, FPS: 25, Bitrate: 10_000}
		e, err := Open(cfg, Options{Speed: 10, MinQ: 4, MaxQ: 30, DropBelow: below})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		codectest.Drops(t, e, cfg, below > 0)
	}
}

func TestOptionsRefused(t *testing.T) {
	cfg := codec.VideoConfig{Width: 64, Height: 64, FPS: 25, Bitrate: 100_000}
	for _, opt := range []Options{{Speed: 8, MinQ: 20, MaxQ: 10}, {Speed: 8, MaxQ: 64}, {Speed: 99, MaxQ: 63}} {
		if e, err := Open(cfg, opt); err == nil {
			e.Close()
			t.Errorf("accepted %+v", opt)
		}
	}
}

// FuzzPayload takes two payloads apart as one unit, and what comes out together
// again.
func FuzzPayload(f *testing.F) {
	f.Add(join([]byte{0x28, 4}, bare(sequence), bare(key)), []byte{})
	f.Add([]byte{0x50, 0x34}, []byte{0x90, 0x20, 0x30, 0x01, 0x02})
	f.Add([]byte{0x50, 0x32}, []byte{0x90, 0x04, 0x30, 0x01, 0x02, 0x03})
	f.Add(join([]byte{0x00, 1}, []byte{0x10}, []byte{4}, bare(sequence), []byte{6}, bare(key), []byte{2, 0x20, 0x55}), join([]byte{0x10}, bare(group)))
	f.Add([]byte{0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x30}, []byte{0xd0, 1})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		p := Payload{}
		dep := p.NewDepacketizer()
		var unit []byte
		for _, b := range [][]byte{first, second} {
			dep.Begins(b)
			var err error
			if unit, err = dep.Append(unit, b); err != nil {
				dep.Keyframe(unit)
				if _, err = dep.Append(unit[:0], join([]byte{0x10}, bare(inter))); err != nil {
					t.Fatalf("the next unit: %v", err)
				}
				return
			}
		}
		key := dep.Keyframe(unit)
		if dep.(*depacketizer).open || len(unit) == 0 {
			return
		}
		payloads, err := p.NewPacketizer().Packetize(codec.Unit{Data: unit}, 20)
		if err != nil {
			t.Fatalf("%x cannot be packetized: %v", unit, err)
		}
		var again []byte
		back := p.NewDepacketizer()
		for _, b := range payloads {
			if len(b) > 20 {
				t.Fatalf("payload of %d bytes", len(b))
			}
			if again, err = back.Append(again, b); err != nil {
				t.Fatalf("%x: %v", unit, err)
			}
		}
		if back.Keyframe(again) != key {
			t.Fatalf("%x came back as %x", unit, again)
		}
	})
}
