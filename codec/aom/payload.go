package aom

import (
	"errors"
	"fmt"

	"mixdown/codec"
)

// Payload is "RTP Payload Format For AV1", version 1.0, of the Alliance for Open
// Media, without the dependency descriptor, which is a header extension. It has
// no counters.
type Payload struct{}

// NewPacketizer returns a packetizer for OBUs with size fields.
func (Payload) NewPacketizer() codec.Packetizer { return packetizer{} }

// NewDepacketizer returns a depacketizer that gives the OBUs size fields.
func (Payload) NewDepacketizer() codec.Depacketizer { return &depacketizer{} }

// Counters is 0.
func (Payload) Counters([]byte) codec.Counters { return 0 }

// Follow is 0.
func (Payload) Follow(last, first codec.Counters) codec.Counters { return 0 }

// Shift does nothing.
func (Payload) Shift([]byte, codec.Counters) {}

// Bits of the aggregation header (section 4.4).
const (
	bitZ   = 0x80 // the first element continues the last of the packet before
	bitY   = 0x40 // the last element goes on in the next packet
	maskW  = 0x30 // number of elements, the last of them without a length; 0: all have one
	shiftW = 4
	maxW   = 3
	bitN   = 0x08 // first packet of a coded video sequence
)

// packetizer holds no state.
type packetizer struct{}

// Packetize cuts u into payloads of about equal size. Temporal delimiters are
// left out, and size fields are, as lengths of elements stand for them
// (section 5).
func (packetizer) Packetize(u codec.Unit, mtu int) ([][]byte, error) {
	if len(u.Data) == 0 {
		return nil, nil // rate control dropped it
	}
	total := 0
	var obus []obu
	for rest := u.Data; len(rest) > 0; {
		o, next, err := nextOBU(rest)
		if err != nil {
			return nil, fmt.Errorf("packetize AV1: %w", err)
		}
		rest = next
		if t := obuType(o.header[0]); t == obuDelimiter || t == obuTiles {
			continue
		}
		obus = append(obus, o)
		size := len(o.header) + len(o.body)
		total += size + sizeLEB(size)
	}
	// Every element is counted with a length, so that it does not matter which is
	// a packet's last.
	room := mtu - 1
	if room < 4 {
		return nil, fmt.Errorf("packetize AV1: payloads of %d bytes have no room behind headers", mtu)
	}
	if total == 0 {
		return nil, errors.New("packetize AV1: unit without an OBU")
	}
	n := (total + room - 1) / room
	share := min((total+n-1)/n+sizeLEB(room), room) // each cut costs a length more
	w := writer{room: share}
	for _, o := range obus {
		w.write(o)
	}
	w.flush(false)
	if u.Keyframe {
		w.payloads[0][0] |= bitN
	}
	return w.payloads, nil
}

// writer fills payloads with elements.
type writer struct {
	room     int // of a payload behind its header
	payloads [][]byte
	elements [][]byte // of the payload in the making
	used     int
	resumed  bool // its first element is not an OBU's beginning
}

// write adds an OBU, in as many elements as it takes.
func (w *writer) write(o obu) {
	rest := append(append(make([]byte, 0, len(o.header)+len(o.body)), o.header...), o.body...)
	rest[0] &^= obuHasSize
	for {
		left := w.room - w.used
		if len(rest)+sizeLEB(len(rest)) <= left {
			w.add(rest)
			return
		}
		// A header stays in one piece.
		if n := left - sizeLEB(left); n >= 2 {
			w.add(rest[:n])
			rest = rest[n:]
			w.flush(true)
		} else {
			w.flush(false)
		}
	}
}

func (w *writer) add(element []byte) {
	w.elements = append(w.elements, element)
	w.used += len(element) + sizeLEB(len(element))
}

// flush ends the payload in the making; with cut its last element goes on.
func (w *writer) flush(cut bool) {
	n := len(w.elements)
	if n == 0 {
		return
	}
	b := make([]byte, 1, 1+w.used)
	if n <= maxW {
		b[0] = byte(n) << shiftW
	}
	if w.resumed {
		b[0] |= bitZ
	}
	if cut {
		b[0] |= bitY
	}
	for i, e := range w.elements {
		if i < n-1 || n > maxW {
			at := len(b)
			b = append(b, make([]byte, sizeLEB(len(e)))...)
			putLEB(b[at:], len(e))
		}
		b = append(b, e...)
	}
	w.payloads = append(w.payloads, b)
	w.elements, w.used, w.resumed = w.elements[:0], 0, cut
}
