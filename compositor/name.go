package compositor

import (
	"hash/fnv"
	"image/color"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a name may be; people put whole poems there, and letters with
// a hundred accents on them.
const (
	longest = 64 // characters
	stacked = 3  // marks on one letter
)

// clean returns name as it may be drawn: without control characters and
// without the invisible ones that turn the direction of what follows (Unicode
// TR36, section 3.1), in one line, bounded.
func clean(name string) string {
	var b strings.Builder
	n, marks, space := 0, 0, false
	for _, r := range name {
		const zwnj, zwj = '\u200c', '\u200d' // join or part letters and emoji
		switch {
		case unicode.IsSpace(r):
			space = n > 0
			continue
		case r == utf8.RuneError, r != zwnj && r != zwj && unicode.In(r, unicode.C), r >= 0xE0000:
			continue
		case unicode.Is(unicode.M, r), r == zwnj, r == zwj:
			if marks++; marks > stacked {
				continue
			}
		default:
			marks = 0
		}
		if space {
			b.WriteByte(' ')
			n++
			space = false
		}
		if n >= longest {
			break
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimRight(b.String(), " ")
}

// initials returns the one or two letters that stand for a clean name.
func initials(name string) string {
	var firsts []rune
	for _, word := range strings.Fields(name) {
		for _, r := range word {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				firsts = append(firsts, unicode.ToUpper(r))
				break
			}
		}
	}
	switch {
	case len(firsts) == 0:
		r, n := utf8.DecodeRuneInString(name)
		if n == 0 {
			return "?"
		}
		return string(r)
	case len(firsts) == 1 || !unicode.In(firsts[0], unicode.Latin, unicode.Greek, unicode.Cyrillic):
		return string(firsts[0]) // elsewhere two first letters are no custom
	}
	return string([]rune{firsts[0], firsts[len(firsts)-1]})
}

// backdrop is the colour of a person without a picture: the same one in every
// tier and after every reload, dark enough for white letters.
func backdrop(id string) yuvColor {
	colors := [...]color.RGBA{
		{R: 0x2f, G: 0x5d, B: 0x8a}, {R: 0x7a, G: 0x3e, B: 0x5f}, {R: 0x2e, G: 0x6f, B: 0x60}, {R: 0x8a, G: 0x54, B: 0x2b},
		{R: 0x5a, G: 0x4a, B: 0x8f}, {R: 0x4f, G: 0x6b, B: 0x2f}, {R: 0x8c, G: 0x3f, B: 0x3f}, {R: 0x2b, G: 0x6c, B: 0x7e},
		{R: 0x6b, G: 0x44, B: 0x86}, {R: 0x3d, G: 0x5c, B: 0x45}, {R: 0x83, G: 0x62, B: 0x24}, {R: 0x46, G: 0x55, B: 0x73},
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // a hash takes everything
	return paint(colors[h.Sum32()%uint32(len(colors))])
}
