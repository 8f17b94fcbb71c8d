package x264

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// depacketizer makes byte streams with start codes of four bytes.
type depacketizer struct {
	sets   []byte // parameter sets from out of band, as a byte stream
	inband bool   // the unit in the making has a sequence parameter set
	cut    bool   // its last NAL unit goes on
}

// Begins reports what can be the first of an access unit: nothing in a payload
// says that it is. Whoever sees parameter sets go by and then the first slice
// has seen two.
func (d *depacketizer) Begins(payload []byte) bool {
	if len(payload) < 2 {
		return false
	}
	switch t := payload[0] & maskType; {
	case t == nalSTAPA:
		first, _, err := unpack(payload[1:])
		return err == nil && canBegin(first[0], first[1:])
	case t == nalFUA:
		const start = 0x80
		return len(payload) > 2 && payload[1]&start != 0 && canBegin(payload[1], payload[2:])
	default:
		return canBegin(payload[0], payload[1:])
	}
}

// Append adds the NAL units in a payload: one, several (STAP-A), or a piece of
// one (FU-A). The others of RFC 6184 are for interleaved mode, which is not
// offered.
func (d *depacketizer) Append(unit, payload []byte) ([]byte, error) {
	if len(unit) == 0 {
		d.inband, d.cut = false, false
	}
	if len(payload) == 0 {
		return unit, errors.New("depacketize H264: empty payload")
	}
	if d.cut && payload[0]&maskType != nalFUA {
		return unit, errors.New("depacketize H264: the last FU-A's NAL unit does not go on")
	}
	switch t := payload[0] & maskType; {
	case t >= 1 && t <= nalMax:
		return append(d.open(unit, t), payload...), nil
	case t == nalSTAPA:
		return d.appendAll(unit, payload[1:])
	case t == nalFUA:
		return d.appendPiece(unit, payload)
	default:
		return unit, fmt.Errorf("depacketize H264: payload of type %d, only 1 to 24 and 28 are supported", t)
	}
}

// open begins a NAL unit of type t.
func (d *depacketizer) open(unit []byte, t byte) []byte {
	if t == nalSPS {
		d.inband = true
	}
	if t == nalIDR && !d.inband {
		unit = append(unit, d.sets...)
		d.inband = true
	}
	return append(unit, startCode...)
}

// appendAll adds what a STAP-A has behind its header (RFC 6184, section 5.7.1),
// or nothing where it is broken.
func (d *depacketizer) appendAll(unit, units []byte) ([]byte, error) {
	before := len(unit)
	for {
		nal, rest, err := unpack(units)
		if err != nil {
			return unit[:before], err
		}
		unit = append(d.open(unit, nal[0]&maskType), nal...)
		if len(rest) == 0 {
			return unit, nil
		}
		units = rest
	}
}

// unpack returns the first NAL unit of an aggregate and what follows.
func unpack(units []byte) (nal, rest []byte, err error) {
	if len(units) < 3 {
		return nil, nil, errors.New("depacketize H264: STAP-A ends within a length")
	}
	n := int(binary.BigEndian.Uint16(units))
	units = units[2:]
	if n == 0 || n > len(units) {
		return nil, nil, fmt.Errorf("depacketize H264: NAL unit of %d bytes in a STAP-A that has %d", n, len(units))
	}
	if t := units[0] & maskType; t == 0 || t > nalMax {
		return nil, nil, fmt.Errorf("depacketize H264: NAL unit of type %d in a STAP-A", t)
	}
	return units[:n], units[n:], nil
}

// appendPiece adds a FU-A (RFC 6184, section 5.8): the first piece of a NAL
// unit has its header in two parts.
func (d *depacketizer) appendPiece(unit, payload []byte) ([]byte, error) {
	const start, end = 0x80, 0x40
	if len(payload) < 3 {
		return unit, errors.New("depacketize H264: FU-A without content")
	}
	t := payload[1] & maskType
	if t == 0 || t > nalMax {
		return unit, fmt.Errorf("depacketize H264: NAL unit of type %d in a FU-A", t)
	}
	if d.cut == (payload[1]&start != 0) {
		return unit, errors.New("depacketize H264: FU-A that does not follow the one before")
	}
	if !d.cut {
		unit = append(d.open(unit, t), payload[0]&^maskType|t)
	}
	d.cut = payload[1]&end == 0
	return append(unit, payload[2:]...), nil
}

// Keyframe reports whether a unit has an IDR picture, or all that is needed to
// begin without one: parameter sets, and a recovery point or nothing but I
// slices.
func (d *depacketizer) Keyframe(unit []byte) bool {
	var sps, pps, recovery, intra, inter bool
	for nal, rest := nextNAL(unit); nal != nil; nal, rest = nextNAL(rest) {
		if len(nal) == 0 {
			continue
		}
		switch nal[0] & maskType {
		case nalIDR:
			return true
		case nalSPS:
			sps = true
		case nalPPS:
			pps = true
		case nalSEI:
			recovery = recovery || isRecoveryPoint(nal)
		case nalSlice:
			if !sps || !pps {
				return false // what nearly all units come to, at once
			}
			if isIntra(nal) {
				intra = true
			} else {
				inter = true
			}
		}
	}
	return sps && pps && (intra && !inter || recovery && (intra || inter))
}
