package x264

import (
	"bytes"
	"encoding/base64"
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

var (
	sps   = []byte{0x67, 0x42, 0xc0, 0x1f, 0x8c}
	pps   = []byte{0x68, 0xce, 0x3c, 0x80}
	idr   = []byte{0x65, 0x88, 0x84, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09} // first_mb 0, slice_type 7
	intra = []byte{0x61, 0x88, 0x84, 0x01}
	inter = []byte{0x41, 0x9a, 0x24, 0x6c} // first_mb 0, slice_type 5
	next  = []byte{0x41, 0x46, 0x24, 0x6c} // first_mb 1, slice_type 5
	sei   = []byte{0x06, 0x06, 0x01, 0xc4, 0x80}
	name  = []byte{0x06, 0x05, 0x01, 0x00, 0x80} // an SEI that is no recovery point
)

// stream joins NAL units behind start codes.
func stream(nals ...[]byte) []byte {
	var b []byte
	for _, n := range nals {
		b = append(append(b, startCode...), n...)
	}
	return b
}

// join joins bytes.
func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestDepacketizer(t *testing.T) {
	for _, c := range []struct {
		name     string
		payloads [][]byte
		begins   bool
		want     []byte // nil for an error at the last payload
	}{
		{"single", [][]byte{inter}, true, stream(inter)},
		{"slices", [][]byte{inter, next}, true, stream(inter, next)},
		{"second slice", [][]byte{next}, false, stream(next)},
		{"mode 0 keyframe", [][]byte{sps, pps, idr}, true, stream(sps, pps, idr)},
		{"STAP-A", [][]byte{join([]byte{0x78, 0, 5}, sps, []byte{0, 4}, pps), idr}, true, stream(sps, pps, idr)},
		{"STAP-A of one", [][]byte{join([]byte{0x78, 0, 4}, next)}, false, stream(next)},
		{"FU-A", [][]byte{join([]byte{0x7c, 0x85}, idr[1:6]), join([]byte{0x7c, 0x05}, idr[6:8]), join([]byte{0x7c, 0x45}, idr[8:])}, true, stream(idr)},
		{"FU-A start and end", [][]byte{join([]byte{0x7c, 0xc5}, idr[1:])}, true, stream(idr)},
		{"second slice's FU-A", [][]byte{join([]byte{0x5c, 0x81}, next[1:2]), join([]byte{0x5c, 0x41}, next[2:])}, false, stream(next)},
		{"FU-A without start", [][]byte{join([]byte{0x7c, 0x05}, idr)}, false, nil},
		{"FU-A starts again", [][]byte{join([]byte{0x7c, 0x85}, idr[1:]), join([]byte{0x7c, 0x85}, idr[1:])}, true, nil},
		{"FU-A does not go on", [][]byte{join([]byte{0x7c, 0x85}, idr[1:]), inter}, true, nil},
		{"FU-A without content", [][]byte{{0x7c, 0x85}}, false, nil},
		{"FU-A of a STAP-A", [][]byte{{0x7c, 0x98, 1}}, false, nil},
		{"STAP-A ends early", [][]byte{join([]byte{0x78, 0, 5}, sps, []byte{0, 5}, pps)}, true, nil},
		{"STAP-A ends in a length", [][]byte{join([]byte{0x78, 0, 5}, sps, []byte{0})}, true, nil},
		{"STAP-A of nothing", [][]byte{{0x78, 0, 0, 0}}, false, nil},
		{"STAP-A of a FU-A", [][]byte{{0x78, 0, 2, 0x7c, 0x85}}, false, nil},
		{"empty STAP-A", [][]byte{{0x78}}, false, nil},
		{"type 0", [][]byte{{0x60, 1, 2, 3}}, false, nil},
		{"STAP-B", [][]byte{{0x79, 0, 0, 0, 1, 0x41}}, false, nil},
		{"MTAP", [][]byte{{0x7a, 0, 0, 0, 1, 0x41}}, false, nil},
		{"FU-B", [][]byte{{0x7d, 0x85, 0, 0, 1}}, false, nil},
		{"empty", [][]byte{{}}, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dep := Payload{}.NewDepacketizer()
			if b := dep.Begins(c.payloads[0]); b != c.begins {
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
				if unit, err = dep.Append(nil, inter); err != nil || !bytes.Equal(unit, stream(inter)) {
					t.Errorf("the next unit is %x, %v", unit, err)
				}
			} else if err != nil || !bytes.Equal(unit, c.want) {
				t.Errorf("unit is %x, %v", unit, err)
			}
		})
	}
}

func TestKeyframe(t *testing.T) {
	for _, c := range []struct {
		name string
		unit []byte
		want bool
	}{
		{"parameter sets and IDR", stream(sps, pps, idr), true},
		{"IDR alone", stream(idr), true},
		{"short start codes", join([]byte{0, 0, 1}, sps, []byte{0, 0, 1}, pps, []byte{0, 0, 1}, idr), true},
		{"parameter sets alone", stream(sps, pps), false},
		{"inter", stream(inter, next), false},
		{"intra without parameter sets", stream(intra), false},
		{"intra with parameter sets", stream(sps, pps, intra), true},
		{"intra and inter", stream(sps, pps, intra, next), false},
		{"recovery point", stream(sps, pps, sei, inter), true},
		{"recovery point without parameter sets", stream(sei, inter), false},
		{"another SEI", stream(sps, pps, name, inter), false},
		{"recovery point of nothing", stream(sps, pps, sei), false},
		{"empty NAL units", stream(nil, nil, idr), true},
		{"nothing", nil, false},
		{"no start code", idr, false},
	} {
		if got := (Payload{}).NewDepacketizer().Keyframe(c.unit); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestPacketizer(t *testing.T) {
	long := join(idr[:2], bytes.Repeat([]byte{9}, 98))
	for _, c := range []struct {
		name string
		p    Payload
		unit []byte
		mtu  int
		want [][]byte // nil for an error
	}{
		{"single", Payload{}, stream(inter), 40, [][]byte{inter}},
		{"aggregate", Payload{}, stream(sps, pps, idr), 40, [][]byte{join([]byte{0x78, 0, 5}, sps, []byte{0, 4}, pps, []byte{0, 12}, idr)}},
		{"as much as fits", Payload{}, stream(sps, pps, idr), 27, [][]byte{join([]byte{0x78, 0, 5}, sps, []byte{0, 4}, pps), idr}},
		{"fragments", Payload{}, stream(pps, long), 54, [][]byte{pps, join([]byte{0x7c, 0x85}, long[1:51]), join([]byte{0x7c, 0x45}, long[51:])}},
		{"short start codes", Payload{}, join([]byte{0, 0, 1}, inter, []byte{0, 0, 1}, next), 5, [][]byte{inter, next}},
		{"mode 0", Payload{SingleNAL: true}, stream(sps, pps, idr), 40, [][]byte{sps, pps, idr}},
		{"mode 0, too long", Payload{SingleNAL: true}, stream(sps, pps, long), 99, nil},
		{"no room", Payload{}, stream(idr), 2, nil},
		{"no start code", Payload{}, idr, 40, nil},
		{"start codes alone", Payload{}, stream(nil, nil), 40, nil},
	} {
		codectest.Cuts(t, c.name, c.p, codec.Unit{Data: c.unit}, c.mtu, c.want)
	}
}

func TestParameterSets(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	sets, err := ParameterSets(b64(sps) + "," + b64(pps))
	if err != nil || len(sets) != 2 || !bytes.Equal(sets[0], sps) || !bytes.Equal(sets[1], pps) {
		t.Fatalf("%x, %v", sets, err)
	}
	for _, bad := range []string{"", ",", "Z0LAH4w", "*", b64(sps) + ","} {
		if sets, err := ParameterSets(bad); err == nil {
			t.Errorf("%q gives %x", bad, sets)
		}
	}
	dep := Payload{ParameterSets: sets}.NewDepacketizer()
	for _, c := range []struct{ payloads, want []byte }{
		{idr, stream(sps, pps, idr)},
		{join([]byte{0x7c, 0xc5}, idr[1:]), stream(sps, pps, idr)},
		{join([]byte{0x78, 0, 4}, pps, []byte{0, 12}, idr), stream(pps, sps, pps, idr)},
		{join([]byte{0x78, 0, 5}, sps, []byte{0, 12}, idr), stream(sps, idr)},
		{inter, stream(inter)},
	} {
		if unit, err := dep.Append(nil, c.payloads); err != nil || !bytes.Equal(unit, c.want) {
			t.Errorf("%x became %x, %v", c.payloads, unit, err)
		}
	}
	unit, err := dep.Append(nil, idr)
	if err == nil {
		unit, err = dep.Append(unit, idr) // a second slice
	}
	if err != nil || !bytes.Equal(unit, stream(sps, pps, idr, idr)) {
		t.Errorf("two slices became %x, %v", unit, err)
	}
}

// TestSlices codes for a payload size: every NAL unit fits, in keyframes and
// after changes of the rate too, so that both packetization modes are the same.
func TestSlices(t *testing.T) {
	for _, mtu := range []int{100, 300, 1100} {
		cfg := codec.VideoConfig{Width: 640, Height: 360, FPS: 25, Bitrate: 600_000, MTU: mtu}
		e, err := NewEncoder(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		one, all := Payload{SingleNAL: true}, Payload{}
		most := 0
		for i := range 40 {
			if i == 20 {
				if err := e.(codec.BitrateSetter).SetBitrate(2_000_000); err != nil {
					t.Fatal(err)
				}
			}
			f := codectest.MovingPicture(cfg.Width, cfg.Height, i)
			u, err := e.Encode(f, time.Duration(i)*time.Second/25, i == 30)
			f.Release()
			if err != nil {
				t.Fatal(err)
			}
			single, err := one.NewPacketizer().Packetize(u, mtu)
			if err != nil {
				t.Fatalf("picture %d: %v", i, err)
			}
			for _, p := range single {
				most = max(most, len(p))
			}
			both, err := all.NewPacketizer().Packetize(u, mtu)
			if err != nil {
				t.Fatal(err)
			}
			var unit []byte
			dep := all.NewDepacketizer()
			for _, p := range both {
				if p[0]&maskType == nalFUA {
					t.Errorf("mtu %d: picture %d has a FU-A", mtu, i)
				}
				if unit, err = dep.Append(unit, p); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(unit, u.Data) {
				t.Errorf("mtu %d: picture %d comes back otherwise", mtu, i)
			}
		}
		if most < mtu*8/10 {
			t.Errorf("mtu %d: the largest slice has %d bytes", mtu, most)
		}
	}
}

// TestProfiles reads profile_idc and the constraints (H.264, section 7.3.2.1.1).
func TestProfiles(t *testing.T) {
	for _, c := range []struct {
		open func(codec.VideoConfig) (codec.VideoEncoder, error)
		idc  byte
		set1 bool // obeys Main's constraints too
	}{{NewEncoder, 66, true}, {NewMainEncoder, 77, true}} {
		cfg := codec.VideoConfig{Width: 1280, Height: 720, FPS: 25, Bitrate: 600_000}
		e, err := c.open(cfg)
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
		s, _ := nextNAL(u.Data)
		const level31 = 31
		if s[0]&maskType != nalSPS || s[1] != c.idc || s[2]&0x40 != 0 != c.set1 || s[3] > level31 {
			t.Errorf("sequence parameter set is %x", s)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	cfg := codec.VideoConfig{Width: 64, Height: 64, FPS: 25, Bitrate: 100_000}
	good := Options{Preset: "superfast", Profile: "baseline", MaxQ: 51}
	for _, change := range []func(*codec.VideoConfig, *Options){
		func(_ *codec.VideoConfig, o *Options) { o.Preset = "swift" },
		func(_ *codec.VideoConfig, o *Options) { o.Profile = "cubist" },
		func(_ *codec.VideoConfig, o *Options) { o.MinQ = -1 },
		func(_ *codec.VideoConfig, o *Options) { o.MinQ, o.MaxQ = 30, 20 },
		func(_ *codec.VideoConfig, o *Options) { o.MaxQ = 52 },
		func(c *codec.VideoConfig, _ *Options) { c.MTU = 50 },
	} {
		cfg, opt := cfg, good
		change(&cfg, &opt)
		if e, err := Open(cfg, opt); err == nil {
			e.Close()
			t.Errorf("accepted %+v, %+v", cfg, opt)
		}
	}
}

// FuzzPayload takes two payloads apart as one unit, and what comes out together
// again.
func FuzzPayload(f *testing.F) {
	f.Add(join([]byte{0x78, 0, 5}, sps, []byte{0, 4}, pps), idr)
	f.Add(join([]byte{0x7c, 0x85}, idr[1:6]), join([]byte{0x7c, 0x45}, idr[6:]))
	f.Add(inter, next)
	f.Add(sei, intra)
	f.Add([]byte{0x79, 0, 0, 0, 1, 0x41}, []byte{0x65})
	f.Add([]byte{0x65, 0, 0, 1, 0x67, 0, 0, 0, 1}, []byte{0x41, 0, 0, 1})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		p := Payload{ParameterSets: [][]byte{sps, pps}}
		dep := p.NewDepacketizer()
		dep.Begins(first)
		unit, err := dep.Append(nil, first)
		if err != nil && len(unit) > 0 {
			t.Fatalf("%x made %x and %v", first, unit, err)
		}
		dep.Begins(second)
		unit, err = dep.Append(unit, second)
		if len(unit) > len(first)+len(second)+len(sps)+len(pps)+(len(first)+len(second))*2+16 {
			t.Fatalf("%x, %x made %x", first, second, unit)
		}
		key := dep.Keyframe(unit)
		if err != nil || len(unit) == 0 {
			return
		}
		payloads, err := p.NewPacketizer().Packetize(codec.Unit{Data: unit}, 20)
		if err != nil {
			return
		}
		var again []byte
		back := Payload{}.NewDepacketizer()
		for _, b := range payloads {
			if len(b) > 20 {
				t.Fatalf("payload of %d bytes", len(b))
			}
			if again, err = back.Append(again, b); err != nil {
				return // NAL units of types that RTP has for itself
			}
		}
		if back.Keyframe(again) != key {
			t.Fatalf("%x came back as %x", unit, again)
		}
	})
}
