package x264

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"mixdown/codec"
)

// Payload is the RTP payload format of RFC 6184 in packetization mode 1. H.264
// has no counters.
type Payload struct {
	// SingleNAL is packetization mode 0: one NAL unit a packet. Units then need
	// slices of at most the payload size, see codec.VideoConfig.MTU.
	SingleNAL bool
	// ParameterSets are those that a sender gave out of band, NAL units without
	// start codes. A depacketizer puts them before keyframes that have none.
	ParameterSets [][]byte
}

// ParameterSets reads a sprop-parameter-sets parameter (RFC 6184, section 8.1).
func ParameterSets(sprop string) ([][]byte, error) {
	var sets [][]byte
	for _, s := range strings.Split(sprop, ",") {
		set, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, fmt.Errorf("sprop-parameter-sets %q: %w", sprop, err)
		}
		if len(set) == 0 {
			return nil, fmt.Errorf("sprop-parameter-sets %q: an empty one", sprop)
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// NewPacketizer returns a packetizer for byte streams with start codes.
func (p Payload) NewPacketizer() codec.Packetizer { return packetizer{single: p.SingleNAL} }

// NewDepacketizer returns a depacketizer for modes 0 and 1, whichever the
// packetizer's is.
func (p Payload) NewDepacketizer() codec.Depacketizer {
	d := &depacketizer{}
	for _, set := range p.ParameterSets {
		d.sets = append(append(d.sets, startCode...), set...)
	}
	return d
}

// Counters is 0.
func (Payload) Counters([]byte) codec.Counters { return 0 }

// Follow is 0.
func (Payload) Follow(last, first codec.Counters) codec.Counters { return 0 }

// Shift does nothing.
func (Payload) Shift([]byte, codec.Counters) {}

// packetizer holds no state.
type packetizer struct{ single bool }

// Packetize puts NAL units that fit into one payload together (STAP-A), such as
// parameter sets, and cuts those that fit into none (FU-A). NAL units of the
// payload's size go as they are, so that units of slices are the same in both
// modes but for their parameter sets.
func (p packetizer) Packetize(u codec.Unit, mtu int) ([][]byte, error) {
	if len(u.Data) == 0 {
		return nil, nil
	}
	var payloads, held [][]byte // held wait for more to go with
	size := 1                   // of the STAP-A that held would make
	flush := func() {
		if len(held) > 0 {
			payloads = append(payloads, aggregate(held, size))
		}
		held, size = held[:0], 1
	}
	for nal, rest := nextNAL(u.Data); nal != nil; nal, rest = nextNAL(rest) {
		switch {
		case len(nal) == 0:
			continue
		case len(nal) > mtu && p.single:
			return nil, fmt.Errorf("packetize H264: NAL unit of %d bytes in packetization mode 0, payloads have %d", len(nal), mtu)
		case len(nal) > mtu:
			flush()
			if mtu < 3 {
				return nil, fmt.Errorf("packetize H264: payloads of %d bytes have no room behind a header of 2", mtu)
			}
			payloads = fragment(payloads, nal, mtu)
			continue
		case p.single || size+2+len(nal) > mtu || len(nal) > 0xffff:
			flush()
		}
		held = append(held, nal)
		size += 2 + len(nal)
	}
	flush()
	if len(payloads) == 0 {
		return nil, errors.New("packetize H264: unit without a NAL unit")
	}
	return payloads, nil
}

// aggregate returns NAL units as a payload of their own or a STAP-A of size
// bytes (RFC 6184, section 5.7.1).
func aggregate(nals [][]byte, size int) []byte {
	if len(nals) == 1 {
		return append([]byte(nil), nals[0]...)
	}
	b := append(make([]byte, 0, size), nalSTAPA)
	for _, nal := range nals {
		b[0] = b[0]&^maskNRI | max(b[0]&maskNRI, nal[0]&maskNRI)
		b = binary.BigEndian.AppendUint16(b, uint16(len(nal)))
		b = append(b, nal...)
	}
	return b
}

// fragment appends nal in FU-As of about equal size (RFC 6184, section 5.8).
func fragment(payloads [][]byte, nal []byte, mtu int) [][]byte {
	const header, start, end = 2, 0x80, 0x40
	indicator, kind := nal[0]&^maskType|nalFUA, nal[0]&maskType
	rest, room := nal[1:], mtu-header
	n := (len(rest) + room - 1) / room
	block := make([]byte, n*header+len(rest)) // one for all: they live and die together
	for i := range n {
		size := (len(rest) + n - i - 1) / (n - i)
		b := block[: header+size : header+size]
		b[0], b[1] = indicator, kind
		if i == 0 {
			b[1] |= start
		}
		if i == n-1 {
			b[1] |= end
		}
		copy(b[header:], rest[:size])
		payloads, rest, block = append(payloads, b), rest[size:], block[header+size:]
	}
	return payloads
}
