package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"mixdown/cmd/mixdown/load"
)

// epoch is a slot's beginning, in ms.
const epoch = 1_000_000 * slotSeconds * 1000.0

var twoBots = load.Schedule{FPS: 25, Bots: 2, Talkers: 1}

// watching makes the pictures that somebody gets at a rate whose tiles show what
// bots drew delay ms ago; a bot is refreshed at every so manieth picture.
func watching(w window, every, delay float64, refresh []int) (out [][]float64) {
	index := make([]int, len(refresh))
	for n := 0; ; n++ {
		at := w.from + float64(n)*every
		if at >= w.to {
			return out
		}
		row := []float64{at, 640, 360}
		for id := range refresh {
			if n%refresh[id] == 0 {
				frame := twoBots.Frame(id, time.UnixMicro(int64((at-delay)*1000))) - 1
				index[id] = twoBots.Index(frame)
			}
			row = append(row, float64(id<<8|index[id]))
		}
		out = append(out, row)
	}
}

func near(t *testing.T, what string, got Figure, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= tolerance) {
		t.Errorf("%s is %.3f, want %.3f", what, float64(got), want)
	}
}

func TestLookAtPictures(t *testing.T) {
	w := window{epoch, epoch + 20_000}
	raw := watching(window{w.from - 5000, w.to}, 100, 300, []int{1, 10})
	e := eye{twoBots, []int{0, 1}}
	p := e.look(shots(raw), w)
	near(t, "pictures a second", p.FPS, 10, 0.05)
	near(t, "longest freeze", p.LongestFreeze, 0.1, 0.001)
	near(t, "frozen", p.Frozen, 0, 0)
	near(t, "fewest refreshes", p.RefreshMin, 1, 0.1)
	near(t, "median refreshes", p.Refresh, 1, 0.1) // of two, the lower
	near(t, "longest gap", p.LongestGap, 1, 0.001)
	near(t, "worst age", p.WorstAge, 1.3, 0.05)
	near(t, "speaker's refreshes", p.SpeakerFPS, 1, 0.3) // every other turn is the slow one's
	if p.Width != 640 || p.Height != 360 || p.Unread != 0 {
		t.Errorf("%dx%d, %v unread", p.Width, p.Height, p.Unread)
	}

	// Nothing for three seconds; one tile unreadable.
	var holed [][]float64
	for _, r := range raw {
		if r[0] >= w.from+5000 && r[0] < w.from+8000 {
			continue
		}
		holed = append(holed, []float64{r[0], r[1], r[2], r[3], -1})
	}
	p = e.look(shots(holed), w)
	near(t, "longest freeze", p.LongestFreeze, 3.1, 0.001)
	near(t, "frozen", p.Frozen, 3.1/20, 0.001)
	near(t, "unread", p.Unread, 0.5, 0.001)
	near(t, "worst age", p.WorstAge, 20, 0.05) // of who was never seen
	near(t, "picture moves after", moving(shots(holed), w.from+4500, w.to), 3.5, 0.01)
	near(t, "picture moves after", moving(shots(raw), w.from, w.to), 0, 0.01)
	if moving(shots(holed), w.from+4500, w.from+9000).known() {
		t.Error("a second of pictures counts as moving")
	}

	p = e.look(nil, w)
	near(t, "frozen without a picture", p.Frozen, 1, 0)
	near(t, "longest freeze", p.LongestFreeze, 20, 0)
	if p.Unread.known() || p.FPS != 0 {
		t.Errorf("%+v", p)
	}
}

func TestBrowsersClock(t *testing.T) {
	e := eye{twoBots, nil}
	for _, age := range []float64{0, 39, 500, 7900} {
		drawn := math.Floor((epoch+1234-age)/40) * 40
		index := int(drawn/40) % 200
		if got := e.drawn(weakCode, index, epoch+1234); got != drawn {
			t.Errorf("drawn %v ago, read as %v ago", age, epoch+1234-got)
		}
	}
}

// hearing makes the levels of tones that are heard delay ms after they were
// sounded, but not where gone.
func hearing(w window, speakers []speaker, delay func(turn) float64, gone func(at float64) bool) (out [][]float64) {
	turns := make([][]turn, len(speakers))
	for i, s := range speakers {
		turns[i] = s.turns(window{w.from - 10_000, w.to + 10_000})
	}
	for at := w.from - 2000; at < w.to+2000; at += 10 {
		row := []float64{at}
		for i := range speakers {
			level := -100.0
			for _, t := range turns[i] {
				if at >= t.from+delay(t) && at <= t.to+delay(t) && !gone(at) {
					level = -30
				}
			}
			row = append(row, level)
		}
		out = append(out, row)
	}
	return out
}

func TestListenToTones(t *testing.T) {
	w := window{epoch, epoch + 40_000}
	speakers := []speaker{botSpeaker(twoBots, 0), botSpeaker(twoBots, 1), browserSpeaker(600, 0)}
	never := func(float64) bool { return false }
	s := listen(hearing(w, speakers, func(turn) float64 { return 250 }, never), speakers, w)
	near(t, "delay", s.DelayP50, 250, 10)
	near(t, "delay p95", s.DelayP95, 250, 10)
	near(t, "gaps", s.Gaps, 0, 0.005)
	if s.Turns < 12 || s.Missed != 0 {
		t.Errorf("%d turns, %d missed", s.Turns, s.Missed)
	}

	// 400 ms are missing in the middle of each slot.
	hole := func(at float64) bool { d := math.Mod(at, 4000); return d >= 2000 && d < 2400 }
	s = listen(hearing(w, speakers, func(turn) float64 { return 250 }, hole), speakers, w)
	near(t, "longest gap", s.LongestGap, 410, 20)
	near(t, "delay", s.DelayP50, 250, 10)

	// One turn is late, one is not heard at all.
	n := 0
	late := func(tn turn) float64 {
		if tn.from > w.from+12_000 && tn.from < w.from+16_000 {
			return 900
		}
		return 100
	}
	lost := func(at float64) bool { return at > w.from+20_000 && at < w.from+24_100 }
	s = listen(hearing(w, speakers, late, lost), speakers, w)
	if s.Missed == 0 {
		t.Errorf("%d missed of %d (%d)", s.Missed, s.Turns, n)
	}
	near(t, "delay", s.DelayP50, 100, 10)
	if !(s.DelayP95 > 800) {
		t.Errorf("p95 of the delay is %v", s.DelayP95)
	}

	// A turn that is whole and late is delayed; one that begins late and ends with the
	// others lacks its beginning; one held back lacks what is missing in its late end.
	turns := speakers[0].turns(w)
	odd := turns[len(turns)/2]
	half := func(tn turn) float64 {
		if tn == odd {
			return 500
		}
		return 100
	}
	s = listen(hearing(w, speakers, half, never), speakers, w)
	near(t, "longest gap", s.LongestGap, 0, 0)
	near(t, "gaps", s.Gaps, 0, 0)
	short := func(at float64) bool { return at > odd.to+100 && at < odd.to+600 }
	s = listen(hearing(w, speakers[:1], half, short), speakers[:1], w)
	near(t, "a beginning that was not heard", s.LongestGap, 400, 45)
	torn := func(at float64) bool { return at > odd.to+200 && at < odd.to+450 }
	s = listen(hearing(w, speakers[:1], half, torn), speakers[:1], w)
	near(t, "a hole in a late end", s.LongestGap, 250, 20)

	s = listen(nil, speakers, w)
	if s.Missed != s.Turns || s.Turns == 0 || s.Gaps != 1 {
		t.Errorf("of silence: %+v", s)
	}
	if s = listen(nil, nil, w); s.LongestGap.known() || s.DelayP50.known() {
		t.Errorf("of nobody: %+v", s)
	}
}

func TestTierIsRegained(t *testing.T) {
	at := func(s Figure, tier string, fps Figure) Moment { return Moment{At: s, Tier: tier, FPS: fps} }
	line := []Moment{at(0, "", 0), at(10, "720p", 25), at(25, "180p", 5), at(41, "720p", 0), at(45, "360p", 15), at(52, "720p", 25), at(60, "720p", 25)}
	near(t, "regained", regained(line, 20, 40), 12, 0)
	if regained(line[:5], 20, 40).known() {
		t.Error("without the tier it had")
	}
	if line[6].Tier = "720p twin"; regained(slices.Delete(line, 5, 6), 20, 40) != 20 {
		t.Error("the tier's twin is not the tier")
	}
	// Who is on a tier whose pictures never come has not had it.
	if regained([]Moment{at(10, "720p", 0), at(50, "720p", 0)}, 20, 40).known() {
		t.Error("without pictures")
	}
}
