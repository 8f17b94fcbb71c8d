package codectest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"mixdown/codec"
)

// videoGarbage breaks units. A decoder may fail or return nothing, must not
// show a frame between an error and the next keyframe, and must then be whole.
func videoGarbage(t *testing.T, row *codec.Codec) {
	cfg := small()
	cfg.KeyInterval = 5
	e, d := newEncoder(t, row, cfg), newDecoder(t, row)
	var units []codec.Unit
	for i := range 20 {
		units = append(units, encode(t, e, cfg, i, false))
	}
	if f, err := d.Decode(units[1]); err == nil {
		f.Release()
		t.Error("a decoder starts without a keyframe")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	damages := []func([]byte) []byte{
		func([]byte) []byte { return nil },
		func([]byte) []byte { return []byte{0} },
		func(b []byte) []byte { return make([]byte, len(b)) },
		func(b []byte) []byte { return b[:3] },
		func(b []byte) []byte { return b[:min(12, len(b))] },
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) },
		func(b []byte) []byte {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			return b
		},
		func(b []byte) []byte {
			for range 20 {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
			return b
		},
	}
	errors := 0
	for n, damage := range damages {
		failed := false
		for i, u := range units {
			key := i%cfg.KeyInterval == 0
			if i == 6 || i == 10 { // a picture of the second group, the keyframe of the third
				u.Data = damage(bytes.Clone(u.Data))
			}
			f, err := d.Decode(u)
			switch {
			case err != nil:
				errors++
				failed = true
				if f != nil {
					t.Errorf("damage %d: a frame and an error: %v", n, err)
				}
			case f != nil:
				if failed && !u.Keyframe {
					t.Errorf("damage %d: picture %d is shown after an error and before a keyframe", n, i)
				}
				failed = false
				f.Release()
			}
			if key && i != 10 && (err != nil || f == nil) {
				t.Errorf("damage %d: keyframe %d does not come out: %v", n, i, err)
			}
		}
		if p := check(t, d, cfg, units[0], 0); p < 20 {
			t.Errorf("damage %d: %.1f dB afterwards", n, p)
		}
	}
	if errors < len(damages) {
		t.Errorf("%d kinds of damage made %d errors", len(damages), errors)
	}
	if _, err := row.Payload.NewDepacketizer().Append(nil, nil); err == nil {
		t.Error("an empty payload is no error")
	}
	if row.Payload.NewDepacketizer().Begins(nil) {
		t.Error("an empty payload begins a unit")
	}
}

func videoRefusals(t *testing.T, row *codec.Codec) {
	for _, change := range []func(*codec.VideoConfig){
		func(c *codec.VideoConfig) { c.Width = 0 },
		func(c *codec.VideoConfig) { c.Width = 321 },
		func(c *codec.VideoConfig) { c.Height = -2 },
		func(c *codec.VideoConfig) { c.Height = 181 },
		func(c *codec.VideoConfig) { c.FPS = 0 },
		func(c *codec.VideoConfig) { c.Bitrate = 0 },
	} {
		cfg := small()
		change(&cfg)
		if e, err := row.NewVideoEncoder(cfg); err == nil {
			e.Close()
			t.Errorf("accepted %+v", cfg)
		} else if e != nil {
			t.Errorf("an encoder beside the error %v", err)
		}
	}
	cfg := small()
	e := newEncoder(t, row, cfg)
	f := MovingPicture(cfg.Width, cfg.Height, 0)
	defer f.Release()
	wrong := MovingPicture(cfg.Width+2, cfg.Height, 0)
	defer wrong.Release()
	if _, err := e.Encode(wrong, 0, false); err == nil {
		t.Error("a frame of another size is accepted")
	}
	if _, err := e.Encode(f, at(cfg, 1), false); err != nil {
		t.Error(err)
	}
	if _, err := e.Encode(f, at(cfg, 1), false); err == nil {
		t.Error("time may stand still")
	}
	if _, err := e.Encode(f, at(cfg, 2), false); err != nil {
		t.Errorf("the encoder is not usable after an error: %v", err)
	}
	if s, ok := e.(codec.BitrateSetter); ok && s.SetBitrate(-1) == nil {
		t.Error("a negative bit rate is accepted")
	}
	if _, err := row.Payload.NewPacketizer().Packetize(codec.Unit{Data: []byte{1, 2, 3}, Keyframe: true}, 1); err == nil {
		t.Error("payloads of one byte are possible")
	}
	if b, err := row.Payload.NewPacketizer().Packetize(codec.Unit{}, 1200); err != nil || len(b) != 0 {
		t.Errorf("a dropped frame makes %d payloads and %v", len(b), err)
	}
}

// videoCounters packetizes far more pictures than any counter has values, and
// then hands a listener from one stream to another and back, as the server does.
func videoCounters(t *testing.T, row *codec.Codec) {
	const wrap = 1<<16 + 5
	cfg := small()
	u := encode(t, newEncoder(t, row, cfg), cfg, 0, true)
	p := row.Payload
	a, b := p.NewPacketizer(), p.NewPacketizer()
	payloads := func(from codec.Packetizer, mtu int) [][]byte {
		t.Helper()
		out, err := from.Packetize(u, mtu)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for range 777 { // so that the streams are apart
		payloads(b, 1200)
	}
	last := p.Counters(payloads(a, 1200)[0])
	for i := range wrap {
		c := p.Counters(payloads(a, 60_000)[0])
		if by := p.Follow(last, c); by != 0 {
			t.Fatalf("picture %d does not follow the one before: shift %#x", i, by)
		}
		last = c
	}
	for n, from := range []codec.Packetizer{b, a, b, b, a} {
		var by codec.Counters
		var unit []byte
		dep := p.NewDepacketizer()
		for i, payload := range payloads(from, 100) {
			size := len(payload)
			if i == 0 {
				by = p.Follow(last, p.Counters(payload))
			}
			p.Shift(payload, by)
			c := p.Counters(payload)
			if i == 0 && p.Follow(last, c) != 0 || i > 0 && c != last {
				t.Errorf("move %d, payload %d: counters %#x after %#x", n, i, c, last)
			}
			last = c
			var err error
			if unit, err = dep.Append(unit, payload); err != nil || len(payload) != size {
				t.Fatalf("move %d, payload %d of %d bytes, were %d: %v", n, i, len(payload), size, err)
			}
		}
		if !bytes.Equal(unit, u.Data) {
			t.Errorf("move %d: shifting changed coded bytes", n)
		}
	}
	p.Shift(nil, last) // nothing to shift, nothing to break
	if c := p.Counters(nil); p.Follow(last, c) != 0 {
		t.Error("an empty payload has counters")
	}
}
