package vpx

import (
	"strconv"
	"strings"

	"mixdown/codec"
)

// NegotiateVP8 reads a receiver's format parameters (RFC 7741, section 6.1): max-fs
// is in macroblocks, max-fr in pictures a second.
func NegotiateVP8(fmtp string) (codec.Terms, bool) {
	var t codec.Terms
	size, speed := 0, 0
	for _, s := range strings.Split(fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(s), "=")
		n, err := strconv.Atoi(v)
		if err != nil || n <= 0 || n > 1_000_000 {
			continue
		}
		switch strings.ToLower(k) {
		case "max-fs":
			size = n
		case "max-fr":
			speed = n
		}
	}
	t.Pixels = size * 256
	t.PixelRate = t.Pixels * speed
	return t, true
}
