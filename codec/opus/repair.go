package opus

// Repeats implements codec.Repeater: whether the packet carries a repair for the
// one before it, which is said behind the voice activity of its first frame (RFC
// 6716, section 4.2.3). CELT knows none.
func (d *Decoder) Repeats(packet []byte) bool {
	if len(packet) < 2 || packet[0] >= 16<<3 {
		return false
	}
	at := firstFrame(packet)
	if at >= len(packet) {
		return false
	}
	frames := max(frameTicks(packet[0]>>3)/960, 1) // of SILK in one of Opus
	flags := packet[at]
	if flags>>(7-frames)&1 != 0 {
		return true
	}
	return packet[0]&4 != 0 && flags>>(6-2*frames)&1 != 0 // stereo: the other channel's
}

// firstFrame is where a packet's first frame begins (RFC 6716, section 3.2).
func firstFrame(packet []byte) int {
	length := func(at int) int { // of a frame's length
		if at < len(packet) && packet[at] >= 252 {
			return 2
		}
		return 1
	}
	switch packet[0] & 3 {
	case 2:
		return 1 + length(1)
	case 3:
		count, at := packet[1], 2
		for more := count&0x40 != 0; more && at < len(packet); at++ { // padding
			more = packet[at] == 255
		}
		for n := int(count & 0x3f); count&0x80 != 0 && n > 1; n-- { // lengths of all but the last
			at += length(at)
		}
		return at
	}
	return 1
}
