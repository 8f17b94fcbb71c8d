package load

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// plainEvery is how often a line is written where it cannot be rewritten.
const plainEvery = 5 * time.Second

// Progress is one line that is rewritten on a terminal, and now and then a new
// one elsewhere.
type Progress struct {
	w       io.Writer
	rewrite bool
	last    time.Time
	width   int
}

func newProgress(f *os.File) *Progress {
	return &Progress{w: f, rewrite: term.IsTerminal(int(f.Fd()))}
}

// Show shows a line as it is at now; always shows it in any case.
func (p *Progress) Show(now time.Time, always bool, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if p.rewrite {
		fmt.Fprintf(p.w, "\r%-*s", p.width, line)
		p.width = len(line)
		return
	}
	if always || now.Sub(p.last) >= plainEvery {
		p.last = now
		fmt.Fprintln(p.w, line)
	}
}

// End leaves the last line as it is.
func (p *Progress) End() {
	if p.rewrite && p.width > 0 {
		fmt.Fprintln(p.w)
		p.width = 0
	}
}

// pace tells what comes in a second, over all bots.
type pace struct {
	at            time.Time
	frames, bytes uint64
}

func (p *pace) line(bots []*Bot, now time.Time) string {
	var in, frames, bytes, packets, lost = 0, uint64(0), uint64(0), uint64(0), uint64(0)
	for _, b := range bots {
		if b.Status().In {
			in++
		}
		v, a := b.Video.Counts(now), b.Audio.Counts(now)
		frames, bytes = frames+v.Frames, bytes+v.Bytes+a.Bytes
		packets, lost = packets+v.Packets+a.Packets, lost+v.Lost+a.Lost
	}
	s := now.Sub(p.at).Seconds() * float64(max(1, in))
	line := fmt.Sprintf("joined %d/%d  %.1f frames/s  %.0f kb/s  lost %d of %d", in, len(bots),
		float64(frames-p.frames)/s, float64(bytes-p.bytes)*8/1000/s, lost, packets+lost)
	p.at, p.frames, p.bytes = now, frames, bytes
	return line
}
