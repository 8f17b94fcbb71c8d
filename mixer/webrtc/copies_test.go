package webrtc

import (
	"bytes"
	"testing"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/jitter"
)

// TestCopies: what a packet repeats is read again as RFC 2198 says, never more than
// wanted, and never what is of another codec or too long ago.
func TestCopies(t *testing.T) {
	opus, other := &codec.Codec{Name: "opus"}, &codec.Codec{Name: "PCMU"}
	packet := func(c *codec.Codec, at uint32, size int) *mixer.Packet {
		return &mixer.Packet{Codec: c, Timestamp: at, Payload: bytes.Repeat([]byte{byte(at)}, size)}
	}
	var start uint32 = 1<<32 - 960
	c := copies{pt: 63}
	for i, step := range []struct {
		p    *mixer.Packet
		want int
		got  []uint32 // timestamps of what is repeated
	}{
		{packet(opus, start, 80), 2, nil},
		{packet(opus, start+960, 90), 2, []uint32{start}},
		{packet(opus, start+2*960, 300), 2, []uint32{start, start + 960}},
		{packet(opus, start+3*960, 70), 1, []uint32{start + 2*960}},
		{packet(opus, start+4*960, 70), 0, nil},
		{packet(other, start+5*960, 70), 2, nil},
		{packet(opus, start+6*960, 70), 2, nil},
		{packet(opus, start+7*960, 1400), 2, []uint32{start + 6*960}},
		{packet(opus, start+8*960, 70), 2, nil}, // the one before is too large
		{packet(opus, start+9*960, 70), 2, []uint32{start + 8*960}},
		{packet(opus, start+9*960+1<<14, 70), 2, nil},
	} {
		c.want = step.want
		former, more := c.repeats(step.p)
		if len(former) != len(step.got) {
			t.Fatalf("%d: %d repeated, want %d", i, len(former), len(step.got))
		}
		if len(former) > 0 {
			raw := c.pack(111, step.p, former)
			if len(raw) != len(step.p.Payload)+more {
				t.Errorf("%d: %d bytes, said %d more than %d", i, len(raw), more, len(step.p.Payload))
			}
			blocks, err := jitter.SplitRED(nil, raw)
			if err != nil || len(blocks) != len(step.got)+1 {
				t.Fatalf("%d: %d blocks: %v", i, len(blocks), err)
			}
			for k, b := range blocks {
				want := step.p
				if k < len(former) {
					want = former[k]
					if want.Timestamp != step.got[k] || step.p.Timestamp-b.Back != want.Timestamp {
						t.Errorf("%d: block %d is of %d", i, k, step.p.Timestamp-b.Back)
					}
				}
				if b.PT != 111 || !bytes.Equal(b.Data, want.Payload) {
					t.Errorf("%d: block %d differs", i, k)
				}
			}
		}
		c.keep(step.p)
	}
}
