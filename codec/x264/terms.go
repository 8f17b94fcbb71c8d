package x264

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"mixdown/codec"
)

// level is a row of H.264's table A-1.
type level struct {
	id         int
	rate, size int // macroblocks a second, and in a picture
	bitrate    int // of Baseline and Main, in 1000 bit/s
}

func levels() []level {
	return []level{
		{9, 1485, 99, 128}, {10, 1485, 99, 64}, {11, 3000, 396, 192}, {12, 6000, 396, 384}, {13, 11880, 396, 768},
		{20, 11880, 396, 2000}, {21, 19800, 792, 4000}, {22, 20250, 1620, 4000},
		{30, 40500, 1620, 10000}, {31, 108000, 3600, 14000}, {32, 216000, 5120, 20000},
		{40, 245760, 8192, 20000}, {41, 245760, 8192, 50000}, {42, 522240, 8704, 50000},
		{50, 589824, 22080, 135000}, {51, 983040, 36864, 240000}, {52, 2073600, 36864, 240000},
	}
}

// ours is the level that the answer names for what we take.
const ours = 0x1f

// Negotiate reads a receiver's format parameters (RFC 6184, section 8.1). Profiles
// that have constrained baseline in them are taken, and answered as they were
// offered; without a profile it is baseline of level 1.
func Negotiate(fmtp string) (codec.Terms, bool) {
	p := parameters(fmtp)
	profile := []byte{0x42, 0, 0x0a}
	if s, ok := p["profile-level-id"]; ok {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != 3 {
			return codec.Terms{}, false
		}
		profile = b
	}
	t := codec.Terms{}
	switch profile[0] {
	case 0x42:
		t.Rank = 3
	case 0x4d:
		t.Rank = 2
	case 0x64:
		t.Rank = 1
	default:
		return codec.Terms{}, false
	}
	mode := "0"
	switch m, ok := p["packetization-mode"]; {
	case !ok || m == "0":
		t.Split = true
	case m == "1":
		mode = "1"
		t.Rank += 3
	default: // interleaved
		return codec.Terms{}, false
	}
	if sprop, ok := p["sprop-parameter-sets"]; ok {
		if sets, err := ParameterSets(sprop); err == nil {
			t.Payload = Payload{SingleNAL: t.Split, ParameterSets: sets}
		}
	}
	id := int(profile[2])
	if id == 11 && profile[1]&0x10 != 0 && profile[0] != 0x64 {
		id = 9 // level 1b
	}
	l := levels()[0]
	for _, row := range levels() {
		if row.id <= id {
			l = row
		}
	}
	// Parameters only ever raise what the level allows (section 8.1).
	size, rate := max(l.size, number(p, "max-fs")), max(l.rate, number(p, "max-mbps"))
	t.Pixels, t.PixelRate = size*256, rate*256
	t.Bitrate = max(l.bitrate, number(p, "max-br")) * 1000
	t.Fmtp = fmt.Sprintf("profile-level-id=%02x%02x%02x;packetization-mode=%s", profile[0], profile[1], ours, mode)
	if p["level-asymmetry-allowed"] == "1" {
		t.Fmtp = "level-asymmetry-allowed=1;" + t.Fmtp
	} else {
		// What is sent and what is taken are of one level, the lower one (section 8.2.2).
		t.Fmtp = fmt.Sprintf("profile-level-id=%02x%02x%02x;packetization-mode=%s", profile[0], profile[1], min(profile[2], ours), mode)
	}
	return t, true
}

// parameters reads "a=1; b=2" with names in lower case.
func parameters(fmtp string) map[string]string {
	out := map[string]string{}
	for _, s := range strings.Split(fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(s), "=")
		out[strings.ToLower(k)] = strings.TrimSpace(v)
	}
	return out
}

// number is a parameter's value, or 0; nobody's is beyond a million.
func number(p map[string]string, name string) int {
	n, err := strconv.Atoi(p[name])
	if err != nil || n < 0 {
		return 0
	}
	return min(n, 4_000_000)
}

// Split implements codec.Splitter: packetization mode 0 knows no STAP-A.
func (Payload) Split(payload []byte) [][]byte {
	if len(payload) == 0 || payload[0]&maskType != nalSTAPA {
		return nil
	}
	var out [][]byte
	for rest := payload[1:]; len(rest) > 0; {
		nal, more, err := unpack(rest)
		if err != nil {
			break
		}
		out, rest = append(out, nal), more
	}
	return out
}
