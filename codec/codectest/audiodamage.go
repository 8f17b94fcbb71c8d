package codectest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"mixdown/codec"
)

func audioPayload(t *testing.T, row *codec.Codec) {
	e := audioEncoder(t, row, speech(2))
	p, dep := row.Payload.NewPacketizer(), row.Payload.NewDepacketizer()
	for i := range 5 {
		b := packet(t, e, interleave(-12, i*values, values, 440, 660))
		payloads, err := p.Packetize(codec.Unit{Data: b}, 300)
		if err != nil || len(payloads) == 0 {
			t.Fatalf("%d payloads, %v", len(payloads), err)
		}
		var unit []byte
		for _, payload := range payloads {
			if len(payload) > 300 {
				t.Errorf("payload of %d bytes, asked for 300", len(payload))
			}
			if &payload[0] == &b[0] {
				t.Error("the payload is the unit's memory")
			}
			if unit, err = dep.Append(unit, payload); err != nil {
				t.Fatal(err)
			}
		}
		if !dep.Begins(payloads[0]) || !dep.Keyframe(unit) || !bytes.Equal(unit, b) {
			t.Errorf("packet %d did not come back", i)
		}
		// Sound has no counters to speak of, but has to survive their shifting.
		c := row.Payload.Counters(payloads[0])
		row.Payload.Shift(payloads[0], row.Payload.Follow(c, c))
		if unit, err = dep.Append(nil, payloads[0]); err != nil || len(payloads) == 1 && !bytes.Equal(unit, b) {
			t.Errorf("shifting changed the packet, %v", err)
		}
	}
	if _, err := dep.Append(nil, nil); err == nil {
		t.Error("an empty payload is no error")
	}
	if dep.Begins(nil) {
		t.Error("an empty payload begins a packet")
	}
	if b, err := p.Packetize(codec.Unit{Data: make([]byte, 400)}, 300); err == nil && len(b) < 2 {
		t.Error("400 bytes fit into 300")
	}
}

// audioGarbage decodes noise for packets: errors are fine, and so are sounds,
// but no crash, and the next good packets are heard.
func audioGarbage(t *testing.T, row *codec.Codec) {
	e, d := audioEncoder(t, row, speech(1)), audioDecoder(t, row, 2)
	pcm := make([]int16, 2*rate/8)
	for _, b := range [][]byte{nil, {}} {
		if _, err := d.Decode(b, pcm); err == nil {
			t.Error("an empty packet is decoded")
		}
		if _, err := d.Samples(b); err == nil {
			t.Error("an empty packet has samples")
		}
		if err := d.DecodeFEC(b, pcm[:2*values]); err == nil {
			t.Error("an empty packet has repair")
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	errors := 0
	for n := range 500 {
		b := make([]byte, 1+n%80)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		want, err := d.Samples(b)
		got, derr := d.Decode(b, pcm)
		if derr != nil {
			errors++
		} else if err != nil || got != want {
			t.Errorf("%x: Samples says %d, %v, Decode %d", b, want, err, got)
		}
		if err := d.DecodeFEC(b, pcm[:2*values]); err == nil && derr != nil && len(b) == 1 {
			t.Errorf("%x: repair out of a packet that cannot be decoded", b)
		}
	}
	if errors == 0 && row.Constant == 0 { // all bytes may be samples
		t.Error("no noise was an error")
	}
	pcm = pcm[:2*values]
	for i := range 25 {
		if _, err := d.Decode(packet(t, e, Tone(rate, 440, -12, i*values, values)), pcm); err != nil {
			t.Fatal(err)
		}
	}
	if l := ToneLevel(channel(pcm, 0, 2), rate, 440); math.Abs(l+12) > 1 {
		t.Errorf("the tone afterwards is at %.1f dBFS, want -12", l)
	}
}

func audioRefusals(t *testing.T, row *codec.Codec) {
	for _, change := range []func(*codec.AudioConfig){
		func(c *codec.AudioConfig) { c.Rate = 0 },
		func(c *codec.AudioConfig) { c.Channels = 0 },
		func(c *codec.AudioConfig) { c.Channels = 9 },
		func(c *codec.AudioConfig) { c.Frame = 0 },
		func(c *codec.AudioConfig) { c.Frame = 21 * frame / 20 },
		func(c *codec.AudioConfig) { c.Bitrate = 0 },
		func(c *codec.AudioConfig) { c.Complexity = 11 },
		func(c *codec.AudioConfig) { c.Loss = 2 },
	} {
		cfg := speech(1)
		change(&cfg)
		if e, err := row.NewAudioEncoder(cfg); err == nil {
			e.Close()
			t.Errorf("accepted %+v", cfg)
		} else if e != nil {
			t.Errorf("an encoder beside the error %v", err)
		}
	}
	for _, f := range []codec.AudioFormat{{}, {Rate: rate}, {Rate: -1, Channels: 1}, {Rate: rate, Channels: 300}} {
		if d, err := row.NewAudioDecoder(f); err == nil {
			d.Close()
			t.Errorf("accepted %+v", f)
		} else if d != nil {
			t.Errorf("a decoder beside the error %v", err)
		}
	}
	e := audioEncoder(t, row, speech(2))
	for _, n := range []int{0, 1, values, 2*values - 2, 2*values + 2} {
		if _, err := e.Encode(make([]int16, n)); err == nil {
			t.Errorf("a frame of %d values is accepted", n)
		}
	}
}

func audioClose(t *testing.T, row *codec.Codec) {
	e, d := audioEncoder(t, row, speech(1)), audioDecoder(t, row, 1)
	pcm := make([]int16, values)
	b := packet(t, e, pcm)
	closeTwice(t, e)
	closeTwice(t, d)
	if _, err := e.Encode(pcm); err == nil {
		t.Error("a closed encoder encodes")
	}
	if s, ok := e.(codec.BitrateSetter); ok && s.SetBitrate(24_000) == nil {
		t.Error("a closed encoder takes a bit rate")
	}
	if s, ok := e.(codec.LossSetter); ok && s.SetLoss(0) == nil {
		t.Error("a closed encoder takes a loss")
	}
	if _, err := d.Decode(b, pcm); err == nil {
		t.Error("a closed decoder decodes")
	}
	if d.Conceal(pcm) == nil || d.DecodeFEC(b, pcm) == nil {
		t.Error("a closed decoder conceals")
	}
}
