package record

import (
	"fmt"
	"slices"
	"strings"

	"mixdown/mixer"
)

// format is one kind of file: a row, where libavformat knows it.
type format struct {
	name    string // as REST has it, and the end of file names
	muxer   string // libavformat's name
	media   string // type
	video   []string
	audio   []string // the first is what it has unless asked
	options map[string]string
}

// fragments make an MP4 that plays up to the last of them, whatever happens
// next. They are cut where the Film flushes.
var fragments = map[string]string{"movflags": "frag_custom+empty_moov+default_base_moof+delay_moov"}

func formats() []format {
	return []format{
		{"mp4", "mp4", "video/mp4", []string{"H264"}, []string{"AAC", "opus"}, fragments},
		{"mkv", "matroska", "video/x-matroska", []string{"H264", "VP8", "VP9"}, []string{"opus", "AAC"}, nil},
		{"webm", "webm", "video/webm", []string{"VP8", "VP9"}, []string{"opus"}, nil},
		{"ogg", "ogg", "audio/ogg", nil, []string{"opus"}, nil},
		{"m4a", "ipod", "audio/mp4", nil, []string{"AAC"}, fragments},
	}
}

// takes reports whether a format has that codec of pictures.
func takes(name, video string) bool {
	return slices.ContainsFunc(formats(), func(f format) bool { return f.name == name && slices.Contains(f.video, video) })
}

// find returns the row of a spec whose names it makes canonical.
func find(spec *mixer.RecordingSpec) (format, error) {
	all := formats()
	i := slices.IndexFunc(all, func(f format) bool { return f.name == spec.Format })
	if i < 0 {
		var names []string
		for _, f := range all {
			names = append(names, f.name)
		}
		return format{}, fmt.Errorf("format %.20q is none of %s: %w", spec.Format, strings.Join(names, ", "), mixer.ErrBadRequest)
	}
	f := all[i]
	var err error
	if spec.Video, err = pick("video", spec.Video, f.video); err != nil {
		return f, err
	}
	spec.Audio, err = pick("audio", spec.Audio, f.audio)
	return f, err
}

func pick(what, name string, of []string) (string, error) {
	if name == "" && len(of) > 0 {
		return of[0], nil
	}
	for _, o := range of {
		if strings.EqualFold(o, name) {
			return o, nil
		}
	}
	if name == "" {
		return "", nil
	}
	return "", fmt.Errorf("%s %.20q: the format has %q: %w", what, name, of, mixer.ErrBadRequest)
}
