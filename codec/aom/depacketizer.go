package aom

import (
	"errors"
	"fmt"
)

// depacketizer knows where in the unit the OBU is that goes on.
type depacketizer struct {
	open  bool
	start int // of the OBU in the unit
	width int // of its size field, 0 while there is none
}

// Begins reports an OBU that can be the first of a temporal unit.
func (d *depacketizer) Begins(payload []byte) bool {
	if len(payload) < 2 || payload[0]&bitZ != 0 {
		return false
	}
	first, _, err := element(payload[1:], int(payload[0]&maskW>>shiftW), 0)
	if err != nil {
		return false
	}
	switch obuType(first[0]) {
	case obuSequence, obuDelimiter, obuHeader, obuMetadata, obuFrame:
		return true
	}
	return false
}

// Append adds the OBUs in a payload, the unfinished last one too. After an error
// the unit is of no use.
func (d *depacketizer) Append(unit, payload []byte) ([]byte, error) {
	if len(unit) == 0 {
		d.open = false
	}
	if len(payload) < 2 {
		return unit, errors.New("depacketize AV1: payload ends within or right after its header")
	}
	resumes := payload[0]&bitZ != 0
	if resumes != d.open {
		return unit, fmt.Errorf("depacketize AV1: payload that continues an OBU: %v, an OBU goes on: %v", resumes, d.open)
	}
	count, rest := int(payload[0]&maskW>>shiftW), payload[1:]
	for i := 0; len(rest) > 0; i++ {
		e, next, err := element(rest, count, i)
		if err != nil {
			return unit, err
		}
		rest = next
		if !d.open {
			if e[0]&0x80 != 0 {
				return unit, errors.New("depacketize AV1: forbidden bit in an OBU header")
			}
			d.open, d.start, d.width = true, len(unit), 0
		}
		unit = d.grow(unit, e)
		if len(rest) == 0 && payload[0]&bitY != 0 {
			return unit, nil
		}
		if unit, err = d.end(unit); err != nil {
			return unit, err
		}
	}
	return unit, nil
}

// element returns element i of a payload with count of them, 0 for any number,
// and what follows.
func element(b []byte, count, i int) (e, rest []byte, err error) {
	if count > 0 && i == count-1 {
		return b, nil, nil
	}
	size, b, err := readLEB(b)
	if err != nil {
		return nil, nil, fmt.Errorf("depacketize AV1: length of an element: %w", err)
	}
	if size == 0 || size > len(b) || count > 0 && size == len(b) {
		return nil, nil, fmt.Errorf("depacketize AV1: element of %d bytes, number %d of %d, in %d", size, i+1, count, len(b))
	}
	return b[:size], b[size:], nil
}

// grow adds bytes to the OBU in the making and keeps its size field true.
func (d *depacketizer) grow(unit, more []byte) []byte {
	have := len(unit) - d.start
	if have == 0 {
		unit, more, have = append(unit, more[0]), more[1:], 1
	}
	if have == 1 && unit[d.start]&obuExtension != 0 && len(more) > 0 {
		unit, more, have = append(unit, more[0]), more[1:], 2
	}
	header := headerSize(unit[d.start])
	if d.width == 0 {
		if have < header || unit[d.start]&obuHasSize != 0 {
			return append(unit, more...) // it brings its size field, section 5
		}
		d.width = 1
		unit[d.start] |= obuHasSize
		unit = append(unit, 0)
	}
	at := d.start + header
	size := len(unit) - at - d.width + len(more)
	if w := sizeLEB(size); w > d.width {
		var pad [8]byte
		unit = append(unit, pad[:w-d.width]...)
		copy(unit[at+w:], unit[at+d.width:])
		d.width = w
	}
	putLEB(unit[at:at+d.width], size)
	return append(unit, more...)
}

// end completes the OBU in the making: it takes it away if it is one that says
// nothing to a decoder.
func (d *depacketizer) end(unit []byte) ([]byte, error) {
	d.open = false
	if _, rest, err := nextOBU(unit[d.start:]); err != nil || len(rest) > 0 {
		return unit, errors.New("depacketize AV1: an OBU's size field is wrong")
	}
	if t := obuType(unit[d.start]); t == obuDelimiter || t == obuTiles {
		unit = unit[:d.start]
	}
	return unit, nil
}

// Keyframe reports a sequence header and a key frame.
func (d *depacketizer) Keyframe(unit []byte) bool { return isKeyframe(unit) }
