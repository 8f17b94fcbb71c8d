package rtp

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v2"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/stream"
)

// historySize is how many packets can be sent again.
const historySize = 256

// outgoing is one RTP stream to the other end. Unlike a browser's, its timestamps
// are its own: it goes on through prompts and from room to room.
type outgoing struct {
	ssrc    uint32
	key     key
	context *srtp.Context // nil: in the clear

	seq     uint16
	shift   codec.Counters
	last    mixer.Packet // as it was sent
	sent    bool
	origin  any    // of last
	offset  uint32 // of timestamps, for origin
	packets uint32
	octets  uint32
	scratch [maxDatagram]byte
	history [historySize][]byte // by sequence number, without encryption
	cipher  []byte

	lost float64       // that the other end reports
	rtt  time.Duration // 0 while unknown
}

func newOutgoing() outgoing { return outgoing{ssrc: rand.Uint32(), seq: uint16(rand.Uint32())} }

func (o *outgoing) encrypt(k *key) error {
	switch {
	case k == nil:
		o.context, o.key = nil, key{}
	case o.context == nil || !o.key.same(*k):
		c, err := k.context()
		if err != nil {
			return err
		}
		o.context, o.key = c, *k
	}
	return nil
}

// next makes the datagrams of p, which comes from origin: a room, or a prompt. Each
// is valid until to returns.
func (o *outgoing) next(p *mixer.Packet, f *format, origin any, keep bool, to func([]byte) error) error {
	if o.sent && o.origin != origin {
		// What follows goes on where the former one would be now.
		since := p.Time.Sub(o.last.Time)
		ticks := int64(since) / 1000 * int64(p.Codec.ClockRate) / 1_000_000
		o.offset = o.last.Timestamp + uint32(max(ticks, 1)) - p.Timestamp
	}
	if o.sent && o.last.Stream != p.Stream {
		o.shift = stream.Follow(&o.last, o.shift, p, o.scratch[:])
	}
	was := o.last
	o.last, o.origin = *p, origin
	o.last.Timestamp += o.offset
	first := !o.sent || was.Codec != p.Codec
	o.sent = true

	payloads := [][]byte{p.Payload}
	if s, ok := p.Codec.Payload.(codec.Splitter); ok && f.terms.Split {
		if parts := s.Split(p.Payload); parts != nil {
			payloads = parts
		}
	}
	for i, payload := range payloads {
		// Sound's marker says that it begins (RFC 3551, section 4.1).
		marker := p.Marker && i == len(payloads)-1
		if p.Codec.Kind == codec.Audio {
			marker = first
		}
		h := rtp.Header{
			Version: 2, Marker: marker, PayloadType: f.pt, SequenceNumber: o.seq, Timestamp: o.last.Timestamp, SSRC: o.ssrc,
		}
		n, err := h.MarshalTo(o.scratch[:])
		if err != nil || n+len(payload) > len(o.scratch) {
			return fmt.Errorf("packet of %d bytes: too long", len(payload))
		}
		b := o.scratch[:n+copy(o.scratch[n:], payload)]
		if o.shift != 0 {
			p.Codec.Payload.Shift(b[n:], o.shift)
		}
		if keep {
			at := &o.history[o.seq%historySize]
			*at = append((*at)[:0], b...)
		}
		o.seq++
		o.packets++
		o.octets += uint32(len(payload))
		if err := o.seal(b, to); err != nil {
			return err
		}
	}
	return nil
}

// seal encrypts and sends.
func (o *outgoing) seal(b []byte, to func([]byte) error) error {
	if o.context == nil {
		return to(b)
	}
	sealed, err := o.context.EncryptRTP(o.cipher[:0], b, nil)
	if err != nil {
		return err
	}
	o.cipher = sealed
	return to(sealed)
}

// again sends a packet once more, if it is still there.
func (o *outgoing) again(seq uint16, to func([]byte) error) bool {
	b := o.history[seq%historySize]
	var h rtp.Header
	if _, err := h.Unmarshal(b); err != nil || h.SequenceNumber != seq {
		return false
	}
	return o.seal(b, to) == nil
}
