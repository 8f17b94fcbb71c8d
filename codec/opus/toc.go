package opus

import (
	"errors"
	"fmt"
)

// maxPacket is the longest packet in ticks of 48 kHz, 120 ms (RFC 6716, section
// 3.2.5, rule R5).
const maxPacket = 5760

// ticks returns a packet's length in ticks of 48 kHz from its first two bytes,
// the table of contents (RFC 6716, section 3.1, and 3.2.5 for code 3).
func ticks(packet []byte) (int, error) {
	if len(packet) == 0 {
		return 0, errors.New("opus: empty packet")
	}
	frames := 1
	switch packet[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(packet) < 2 {
			return 0, errors.New("opus: packet ends before its frame count")
		}
		frames = int(packet[1] & 0x3f)
	}
	n := frames * frameTicks(packet[0]>>3)
	if n == 0 || n > maxPacket {
		return 0, fmt.Errorf("opus: packet of %d frames, %d ms", frames, n/48)
	}
	return n, nil
}

// frameTicks returns the length of one frame in one of the 32 configurations
// (RFC 6716, table 2).
func frameTicks(config byte) int {
	switch {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		return [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		return 480 << (config & 1)
	default: // CELT: 2.5, 5, 10, 20 ms
		return 120 << (config & 3)
	}
}
