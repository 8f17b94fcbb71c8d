package mixer

import (
	"slices"
	"strings"
	"testing"

	"mixdown/codec"
)

func TestAgree(t *testing.T) {
	order := codecs.Of(codec.Video)
	for _, c := range []struct{ name, takes, want string }{
		{"nobody", "", ""},
		{"the first in order", "VP8+H264 VP8+VP9", "VP8 VP8"},
		{"one for all goes before the first in order", "VP8+H264 VP8+H264 H264", "H264 H264 H264"},
		{"however many know the first", "VP8+AV1 VP8+AV1 VP8+AV1 VP8+AV1 AV1", "AV1 AV1 AV1 AV1 AV1"},
		{"a second one only for who cannot", "VP8+H264 VP8 VP8+H264 VP9+H264 VP8", "VP8 VP8 VP8 H264 VP8"},
		{"most of those who are left", "VP8 VP8 VP8 VP9 H264+VP9 AV1+VP9", "VP8 VP8 VP8 VP9 VP9 VP9"},
		{"a tie goes by order", "H264 VP8", "H264 VP8"},
	} {
		var takes [][]*codec.Codec
		for _, names := range strings.Fields(c.takes) {
			var set []*codec.Codec
			for name := range strings.SplitSeq(names, "+") {
				set = append(set, codecs.Find(name))
			}
			takes = append(takes, set)
		}
		var got []string
		for _, c := range agree(order, takes) {
			got = append(got, c.Name)
		}
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}
