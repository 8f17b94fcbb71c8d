package aom

import (
	"errors"
	"fmt"
)

// Types of OBUs (AV1 bitstream specification, section 6.2.2).
const (
	obuSequence  = 1
	obuDelimiter = 2
	obuHeader    = 3
	obuMetadata  = 5
	obuFrame     = 6
	obuTiles     = 8 // a tile list
)

// Bits of an OBU's first byte (section 5.3.2).
const (
	obuExtension = 0x04
	obuHasSize   = 0x02
)

func obuType(first byte) byte { return first >> 3 & 0xf }

// headerSize returns how long the header is that begins with first.
func headerSize(first byte) int {
	if first&obuExtension != 0 {
		return 2
	}
	return 1
}

// obu is one OBU in parts.
type obu struct {
	header, body []byte
}

// nextOBU returns the first OBU of a stream with size fields, and what follows.
// One without a size field goes to the end.
func nextOBU(stream []byte) (o obu, rest []byte, err error) {
	n := headerSize(stream[0])
	if stream[0]&0x80 != 0 || len(stream) < n {
		return obu{}, nil, errors.New("broken OBU header")
	}
	o.header, rest = stream[:n], stream[n:]
	if stream[0]&obuHasSize == 0 {
		o.body = rest
		return o, nil, nil
	}
	size, rest, err := readLEB(rest)
	if err != nil {
		return obu{}, nil, fmt.Errorf("OBU size: %w", err)
	}
	if size > len(rest) {
		return obu{}, nil, fmt.Errorf("OBU of %d bytes, there are %d", size, len(rest))
	}
	o.body = rest[:size]
	return o, rest[size:], nil
}

// withoutDelimiter cuts the temporal delimiter off that encoders begin with. On
// the wire the timestamp says as much, in files the block does.
func withoutDelimiter(unit []byte) []byte {
	if len(unit) > 0 && obuType(unit[0]) == obuDelimiter {
		if _, rest, err := nextOBU(unit); err == nil {
			return rest
		}
	}
	return unit
}

// readLEB reads an unsigned number in seven bits a byte, the lowest first
// (section 4.10.5), of at most 32 bits.
func readLEB(b []byte) (v int, rest []byte, err error) {
	for i := range min(len(b), 8) {
		v |= int(b[i]&0x7f) << (7 * i)
		if v > 1<<32-1 {
			return 0, nil, errors.New("number of more than 32 bits")
		}
		if b[i]&0x80 == 0 {
			return v, b[i+1:], nil
		}
	}
	return 0, nil, errors.New("number does not end")
}

// sizeLEB returns how many bytes v takes.
func sizeLEB(v int) int {
	n := 1
	for v >>= 7; v > 0; v >>= 7 {
		n++
	}
	return n
}

// putLEB writes v over b, all of it.
func putLEB(b []byte, v int) {
	for i := range b {
		b[i] = byte(v)&0x7f | 0x80
		v >>= 7
	}
	b[len(b)-1] &^= 0x80
}

// isKeyframe reports whether a unit has a sequence header and then begins with
// a shown key frame (sections 5.5.1 and 5.9.2).
func isKeyframe(unit []byte) bool {
	const reduced, existing, kind, shown = 0x08, 0x80, 0x60, 0x10
	sequence, still := false, false
	for len(unit) > 0 {
		o, rest, err := nextOBU(unit)
		if err != nil {
			return false
		}
		unit = rest
		switch obuType(o.header[0]) {
		case obuSequence:
			if len(o.body) == 0 {
				return false
			}
			sequence, still = true, o.body[0]&reduced != 0
		case obuHeader, obuFrame:
			return sequence && len(o.body) > 0 && (still || o.body[0]&(existing|kind|shown) == shown)
		}
	}
	return false
}
