package waveform

import "math/bits"

// muLaw is G.711's µ-law: eight segments of a magnitude with a bias of 33, in
// units of four of ours; all bits are sent inverted (G.711, table 2).
type muLaw struct{}

const muBias = 33 << 2

func (muLaw) encode(dst []byte, pcm []int16) []byte {
	for _, v := range pcm {
		m, sign := int(v), byte(0)
		if m < 0 {
			m, sign = -m, 0x80
		}
		m = min(m+muBias, 0x7fff)
		segment := bits.Len(uint(m)) - 8 // muBias has eight bits
		dst = append(dst, ^(sign | byte(segment)<<4 | byte(m>>(segment+3))&0xf))
	}
	return dst
}

func (muLaw) decode(dst []int16, packet []byte) []int16 {
	for _, b := range packet {
		b = ^b
		m := (int(b&0xf)<<3+muBias)<<(b>>4&7) - muBias
		if b&0x80 != 0 {
			m = -m
		}
		dst = append(dst, int16(m))
	}
	return dst
}

func (muLaw) follow(coder) {}

// aLaw is G.711's A-law: the first of eight segments is as fine as the second; every other
// bit is sent inverted (G.711, table 1).
type aLaw struct{}

const aInverted = 0x55

func (aLaw) encode(dst []byte, pcm []int16) []byte {
	for _, v := range pcm {
		m, sign := int(v), byte(0x80)
		if m < 0 {
			m, sign = -m-1, 0
		}
		segment := max(bits.Len(uint(m))-8, 0)
		dst = append(dst, (sign|byte(segment)<<4|byte(m>>(max(segment, 1)+3))&0xf)^aInverted)
	}
	return dst
}

func (aLaw) decode(dst []int16, packet []byte) []int16 {
	for _, b := range packet {
		b ^= aInverted
		m := int(b&0xf)<<4 + 8
		if segment := b >> 4 & 7; segment > 0 {
			m = (m + 0x100) << (segment - 1)
		}
		if b&0x80 == 0 {
			m = -m
		}
		dst = append(dst, int16(m))
	}
	return dst
}

func (aLaw) follow(coder) {}

// linear is PCM in network order.
type linear struct{}

func (linear) encode(dst []byte, pcm []int16) []byte {
	for _, v := range pcm {
		dst = append(dst, byte(uint16(v)>>8), byte(v))
	}
	return dst
}

func (linear) decode(dst []int16, packet []byte) []int16 {
	for i := 0; i+1 < len(packet); i += 2 {
		dst = append(dst, int16(uint16(packet[i])<<8|uint16(packet[i+1])))
	}
	return dst
}

func (linear) follow(coder) {}
