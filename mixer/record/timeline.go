package record

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

// Moment is one thing that happened in a recording, for who edits it.
type Moment struct {
	At    float64   `json:"at"`   // s of the programme
	Wall  time.Time `json:"wall"` // what a clock on the wall said
	Event string    `json:"event"`
	ID    string    `json:"id,omitempty"`   // of whom it is about
	Name  string    `json:"name,omitempty"` // too
	// Layout is who stands where from then on, in thousandths of the picture.
	Layout []mixer.Tile `json:"layout,omitempty"`
	File   string       `json:"file,omitempty"`   // a file that begins
	Offset float64      `json:"offset,omitempty"` // s of it that lie before At
}

// Kinds of Moments.
const (
	eventJoin    = "join"    // is in the room
	eventLeave   = "leave"   //
	eventSpeak   = "speak"   // is heard
	eventQuiet   = "quiet"   //
	eventSpeaker = "speaker" // is who speaks, of all who are heard
	eventLayout  = "layout"
	eventScreen  = "screen"   // shows a screen
	eventCamera  = "unscreen" // no longer
	eventPause   = "pause"
	eventResume  = "resume"
	eventFile    = "file"
)

// lines is the timeline while it is being recorded: one Moment each, so that
// nothing is lost with the process.
const lines = "timeline.jsonl"

// timeline writes down what happens in a room.
type timeline struct {
	out     *os.File
	last    map[string]mixer.Member
	speaker string
	canvas  string // that the programme shows
	layout  []mixer.Tile
}

func newTimeline(root *os.Root, dir, canvas string) (*timeline, error) {
	f, err := root.OpenFile(path.Join(dir, lines), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	return &timeline{out: f, canvas: canvas, last: map[string]mixer.Member{}}, nil
}

// add writes one Moment. What does not reach the disk is missing there, and
// nowhere else.
func (t *timeline) add(m Moment) {
	if raw, err := json.Marshal(m); err == nil {
		_, _ = t.out.Write(append(raw, '\n'))
	}
}

// note writes what is different in st.
func (t *timeline) note(st mixer.State, at time.Duration, wall time.Time) {
	moment := func(event string, m mixer.Member) {
		t.add(Moment{At: at.Seconds(), Wall: wall, Event: event, ID: m.ID, Name: m.Name})
	}
	now := map[string]mixer.Member{}
	for _, m := range st.Participants {
		now[m.ID] = m
		before, known := t.last[m.ID]
		if !known {
			moment(eventJoin, m)
		}
		switch {
		case m.Screen && !before.Screen:
			moment(eventScreen, m)
		case !m.Screen && before.Screen:
			moment(eventCamera, m)
		}
		switch {
		case m.Open && !before.Open:
			moment(eventSpeak, m)
		case !m.Open && before.Open:
			moment(eventQuiet, m)
		}
	}
	for id, m := range t.last {
		if _, still := now[id]; !still {
			if m.Open {
				moment(eventQuiet, m)
			}
			if m.Screen {
				moment(eventCamera, m)
			}
			moment(eventLeave, m)
		}
	}
	t.last = now
	if st.Speaker != t.speaker {
		if m, ok := now[st.Speaker]; ok {
			moment(eventSpeaker, m)
		}
		t.speaker = st.Speaker
	}
	for _, c := range st.Layouts {
		if c.Canvas == t.canvas && !slices.Equal(c.Tiles, t.layout) {
			t.layout = c.Tiles
			t.add(Moment{At: at.Seconds(), Wall: wall, Event: eventLayout, Layout: c.Tiles})
		}
	}
}

// read returns the Moments that were written; a last line that is cut off is
// left out.
func read(root *os.Root, dir string) (all []Moment) {
	raw, err := root.ReadFile(path.Join(dir, lines))
	if err != nil {
		return nil
	}
	in := bufio.NewScanner(bytes.NewReader(raw))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var m Moment
		if json.Unmarshal(in.Bytes(), &m) == nil {
			all = append(all, m)
		}
	}
	return all
}

// publish makes timeline.json, timeline.vtt and chapters.vtt of the lines.
func publish(root *os.Root, dir string, rec *mixer.Recording) error {
	made := false // before, and the lines are gone: the recording is completed once more
	if _, err := root.Stat(path.Join(dir, lines)); errors.Is(err, fs.ErrNotExist) {
		_, err := root.Stat(path.Join(dir, "timeline.json"))
		made = err == nil
	}
	all := read(root, dir)
	raw, err := json.MarshalIndent(struct {
		Recording string    `json:"recording"`
		Room      string    `json:"room"`
		Title     string    `json:"title,omitempty"`
		Started   time.Time `json:"started"`
		Length    float64   `json:"length"`
		Events    []Moment  `json:"events"`
	}{rec.ID, rec.Room, rec.Spec.Title, rec.Started, rec.Length, append([]Moment{}, all...)}, "", " ")
	if err != nil {
		return err
	}
	end := time.Duration(rec.Length * float64(time.Second))
	for _, f := range []struct {
		name, kind, media string
		data              []byte
	}{
		{"timeline.json", "timeline", "application/json", raw},
		{"timeline.vtt", "timeline", "text/vtt", spoken(all, end)},
		{"chapters.vtt", "chapters", "text/vtt", cues(chapters(all, end))},
	} {
		if !made {
			if err := replace(root, path.Join(dir, f.name), f.data); err != nil {
				return err
			}
		}
		if !slices.ContainsFunc(rec.Files, func(o mixer.RecordingFile) bool { return o.Name == f.name }) {
			rec.Files = append(rec.Files, mixer.RecordingFile{Name: f.name, Kind: f.kind, Type: f.media})
		}
	}
	return nil
}

// minChapter is the shortest chapter: a word in between begins none.
const minChapter = 10 * time.Second

// chapters are who spoke, each for a while, and screens: one begins where a screen
// does, however short what was before it, and where the last one ends.
func chapters(all []Moment, end time.Duration) (out []codec.Chapter) {
	speaker := ""
	showing := map[string]bool{} // who shows a screen
	fixed := -1                  // index of the last chapter that stays, however short
	for _, m := range all {
		at := time.Duration(m.At * float64(time.Second))
		n := len(out)
		begin := func(title string) {
			if n > 0 && at == out[n-1].From {
				out[n-1].Title = title
			} else {
				out = append(out, codec.Chapter{From: at, Title: title})
			}
			fixed = len(out) - 1
		}
		switch {
		case m.Event == eventScreen:
			showing[m.ID] = true
			begin("Screen: " + m.Name)
			continue
		case m.Event == eventCamera:
			if delete(showing, m.ID); len(showing) == 0 {
				begin(cmp.Or(speaker, "Gallery"))
			}
			continue
		case m.Event != eventSpeaker:
			continue
		}
		speaker = m.Name
		switch {
		case n == 0:
			at = 0 // who speaks first has the beginning, too
		case out[n-1].Title == m.Name:
			continue
		case fixed == n-1 && at-out[n-1].From < minChapter:
			continue // said over a screen that has just come
		case at-out[n-1].From < minChapter:
			out[n-1].Title = m.Name // what was too short belongs to who came next
			if n > 1 && out[n-2].Title == m.Name {
				out = out[:n-1]
			}
			continue
		}
		out = append(out, codec.Chapter{From: at, Title: m.Name})
	}
	if len(out) > 0 && out[0].From > 0 { // a screen came before anybody spoke
		out = append([]codec.Chapter{{Title: "Gallery"}}, out...)
	}
	for i := range out {
		out[i].To = end
		if i+1 < len(out) {
			out[i].To = out[i+1].From
		}
	}
	return out
}

// cues is chapters as WebVTT (section 4.3).
func cues(all []codec.Chapter) []byte {
	b := bytes.NewBufferString("WEBVTT\n")
	for _, c := range all {
		if c.To > c.From {
			fmt.Fprintf(b, "\n%s --> %s\n%s\n", stamp(c.From), stamp(c.To), cueText(c.Title))
		}
	}
	return b.Bytes()
}

// spoken is who was heard when, one cue each, with the voice named.
func spoken(all []Moment, end time.Duration) []byte {
	type cue struct {
		from, to time.Duration
		name     string
	}
	var out []cue
	open := map[string]int{}
	for _, m := range all {
		at := time.Duration(m.At * float64(time.Second))
		switch i, speaks := open[m.ID]; {
		case m.Event == eventSpeak && !speaks:
			open[m.ID] = len(out)
			out = append(out, cue{at, end, m.Name})
		case m.Event == eventQuiet && speaks:
			out[i].to = at
			delete(open, m.ID)
		}
	}
	b := bytes.NewBufferString("WEBVTT\n")
	for _, c := range out {
		if c.to > c.from {
			fmt.Fprintf(b, "\n%s --> %s\n<v %s>%s\n", stamp(c.from), stamp(c.to), cueText(c.name), cueText(c.name))
		}
	}
	return b.Bytes()
}

func stamp(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d:%02d.%03d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60, d.Milliseconds()%1000)
}

// cueText escapes what has a meaning in a cue (WebVTT, section 4.2.2).
func cueText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\n", " ", "\r", " ").Replace(s)
}
