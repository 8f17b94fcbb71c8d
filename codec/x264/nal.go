package x264

import "bytes"

// Types of NAL units (H.264, table 7-1), and those of RFC 6184, section 5.2.
const (
	nalSlice = 1
	nalIDR   = 5
	nalSEI   = 6
	nalSPS   = 7
	nalPPS   = 8
	nalAUD   = 9
	nalMax   = 23 // of single NAL units
	nalSTAPA = 24
	nalFUA   = 28
)

const (
	maskType = 0x1f
	maskNRI  = 0x60
)

var startCode = []byte{0, 0, 0, 1}

// nextNAL returns the first NAL unit of a byte stream that begins with a start
// code, without it, and what follows. There is none in an empty stream or one
// without a start code.
func nextNAL(stream []byte) (nal, rest []byte) {
	start := bytes.Index(stream, startCode[1:])
	if start < 0 {
		return nil, nil
	}
	nal = stream[start+3:]
	if end := bytes.Index(nal, startCode[1:]); end >= 0 {
		nal, rest = nal[:end], nal[end:]
	}
	// A start code of four bytes has a zero before it, and no NAL unit ends with
	// one (H.264, section 7.4.1).
	for rest != nil && len(nal) > 0 && nal[len(nal)-1] == 0 {
		nal = nal[:len(nal)-1]
	}
	return nal, rest
}

// canBegin reports whether a NAL unit can be the first of an access unit
// (H.264, section 7.4.1.2.3). Of slices those can which begin at the first
// macroblock.
func canBegin(header byte, body []byte) bool {
	switch t := header & maskType; t {
	case nalSEI, nalSPS, nalPPS, nalAUD, 14, 15, 16, 17, 18:
		return true
	case nalSlice, 2, nalIDR:
		return len(body) > 0 && body[0]&0x80 != 0 // first_mb_in_slice is 0
	}
	return false
}

// isIntra reports whether a slice is of type I: its header is first_mb_in_slice,
// then slice_type (H.264, section 7.3.3).
func isIntra(slice []byte) bool {
	bits := golomb{data: slice, at: 8}
	_, ok1 := bits.next()
	t, ok2 := bits.next()
	return ok1 && ok2 && (t == 2 || t == 7)
}

// isRecoveryPoint reports whether an SEI begins with a recovery point message
// (H.264, annex D.1.8).
func isRecoveryPoint(sei []byte) bool { return len(sei) > 1 && sei[1] == 6 }

// golomb reads unsigned Exp-Golomb numbers of at most 31 bits (H.264, section 9.1).
type golomb struct {
	data []byte
	at   int // bit
}

func (g *golomb) bit() (uint32, bool) {
	if g.at>>3 >= len(g.data) {
		return 0, false
	}
	b := g.data[g.at>>3] >> (7 - g.at&7) & 1
	g.at++
	return uint32(b), true
}

func (g *golomb) next() (uint32, bool) {
	zeros := 0
	for {
		b, ok := g.bit()
		if !ok || zeros > 31 {
			return 0, false
		}
		if b == 1 {
			break
		}
		zeros++
	}
	v := uint32(1)
	for range zeros {
		b, ok := g.bit()
		if !ok {
			return 0, false
		}
		v = v<<1 | b
	}
	return v - 1, true
}
