package load

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// Spread is what is told of many values.
type Spread struct {
	Min float64 `json:"min"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	Max float64 `json:"max"`
}

// spreadOf returns the spread of a histogram whose bins are 0, 1, 2 and so on.
func spreadOf(bins []uint32) (s Spread) {
	total := uint64(0)
	for _, n := range bins {
		total += uint64(n)
	}
	at := uint64(0)
	for i, n := range bins {
		if n == 0 {
			continue
		}
		v := float64(i)
		if at == 0 {
			s.Min = v
		}
		if at*2 < total {
			s.P50 = v
		}
		if at*100 < total*95 {
			s.P95 = v
		}
		s.Max = v
		at += uint64(n)
	}
	return s
}

// spread returns the spread of values, which it sorts.
func spread(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	slices.Sort(v)
	rank := func(percent int) float64 { return v[(len(v)*percent+99)/100-1] }
	return Spread{v[0], rank(50), rank(95), v[len(v)-1]}
}

// Report is the outcome of a run.
type Report struct {
	URL     string    `json:"url"`
	Room    string    `json:"room"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	Rooms   int       `json:"rooms"`
	Bots    int       `json:"bots"` // in all rooms
	Viewers int       `json:"viewers"`
	Size    string    `json:"size"`
	FPS     int       `json:"fps"`
	Speech  bool      `json:"speech"`
	Sent    int       `json:"sent_kbps"` // of pictures, a bot, as coded
	Summary Summary   `json:"summary"`
	Clients []Client  `json:"clients"`
	CPU     float64   `json:"cpu_cores"` // that the bots took themselves
	Rates   []Rate    `json:"rates"`

	Hostile []HostileReport `json:"hostile,omitempty"`
}

// Summary is the outcome over all clients.
type Summary struct {
	Joined     int     `json:"joined"`
	NoPicture  int     `json:"no_picture"` // joined, yet never got a whole keyframe
	Rejoins    int     `json:"rejoins"`
	Join       Spread  `json:"join_ms"`   // from the offer to the first whole keyframe
	Sound      Spread  `json:"sound_ms"`  // from the offer to the first sound
	Answer     Spread  `json:"answer_ms"` // from the offer to its answer
	FPS        Spread  `json:"fps"`
	VideoKbps  Spread  `json:"video_kbps"`
	AudioKbps  Spread  `json:"audio_kbps"`
	VideoLost  uint64  `json:"video_lost"`
	AudioLost  uint64  `json:"audio_lost"`
	AudioLate  uint64  `json:"audio_late"`
	Loss       float64 `json:"loss"` // share of all packets
	VideoGap   int64   `json:"video_longest_gap_ms"`
	AudioGap   int64   `json:"audio_longest_gap_ms"`
	Listeners  int     `json:"listeners"`
	AgeP50     float64 `json:"age_p50_ms"` // the worst listener's
	AgeP95     float64 `json:"age_p95_ms"`
	AgeMax     float64 `json:"age_max_ms"`
	TilesSeen  int     `json:"tiles_seen"`
	Tiles      int     `json:"tiles_expected"`
	TonesHeard int     `json:"tones_heard"`
	Tones      int     `json:"tones_expected"`
	Strange    int     `json:"tones_strange"`
	Asked      int     `json:"keyframe_requests"` // from the server, to all
	ToneSpread float64 `json:"tone_spread_db"`
	OwnTone    float64 `json:"own_tone_db"` // the loudest; 0 if none was measured
}

// Client is the outcome of one bot or viewer.
type Client struct {
	ID       int         `json:"id"`
	Identity string      `json:"identity"`
	Name     string      `json:"name"`
	Role     string      `json:"role"`
	Joined   bool        `json:"joined"`
	Attempts int         `json:"attempts"`
	Sessions int         `json:"sessions"`
	Error    string      `json:"error,omitempty"`
	Asked    int         `json:"keyframe_requests"` // from the server
	Answer   float64     `json:"answer_ms"`
	Join     float64     `json:"join_ms"`  // 0: never got a whole keyframe
	Sound    float64     `json:"sound_ms"` // 0: never got sound
	FPS      float64     `json:"fps"`
	Video    Track       `json:"video"`
	Audio    Track       `json:"audio"`
	Listener *Impression `json:"listener,omitempty"`
}

// Track is the outcome of one track.
type Track struct {
	Counts
	Kbps float64 `json:"kbps"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// client takes the outcome of a bot.
func (b *Bot) client(now time.Time) Client {
	st, v, a := b.Status(), b.Video.Counts(now), b.Audio.Counts(now)
	c := Client{
		ID: b.ID, Identity: b.Identity.ID, Name: b.Identity.Name, Role: string(b.Identity.Role),
		Joined: st.Joined, Attempts: st.Attempts, Sessions: st.Sessions, Asked: st.Asked,
		Answer: millis(st.Answered), Join: millis(st.Picture), Sound: millis(st.Sound),
		FPS: v.FPS(), Video: Track{v, v.Kbps()}, Audio: Track{a, a.Kbps()},
	}
	if st.Err != nil {
		c.Error = st.Err.Error()
	}
	if b.listener != nil {
		i := b.listener.Impression(now)
		c.Listener = &i
	}
	return c
}

// summarize fills the Summary from the Clients.
func (r *Report) summarize() {
	var join, sound, answer, fps, video, audio []float64
	var packets uint64
	s := Summary{}
	for _, c := range r.Clients {
		s.Rejoins += max(0, c.Sessions-1)
		if !c.Joined {
			continue
		}
		s.Joined++
		s.Asked += c.Asked
		answer = append(answer, c.Answer)
		if c.Join == 0 {
			s.NoPicture++
		} else {
			join = append(join, c.Join)
		}
		if c.Sound > 0 {
			sound = append(sound, c.Sound)
		}
		fps, video, audio = append(fps, c.FPS), append(video, c.Video.Kbps), append(audio, c.Audio.Kbps)
		s.VideoLost, s.AudioLost, s.AudioLate = s.VideoLost+c.Video.Lost, s.AudioLost+c.Audio.Lost, s.AudioLate+c.Audio.Late
		packets += c.Video.Packets + c.Audio.Packets
		s.VideoGap, s.AudioGap = max(s.VideoGap, c.Video.GapMillis), max(s.AudioGap, c.Audio.GapMillis)
		if l := c.Listener; l != nil {
			s.Listeners++
			s.AgeP50, s.AgeP95, s.AgeMax = max(s.AgeP50, l.Age.P50), max(s.AgeP95, l.Age.P95), max(s.AgeMax, l.Age.Max)
			s.TilesSeen, s.Tiles = s.TilesSeen+l.TilesSeen, s.Tiles+l.TilesExpected
			t := l.Tones
			s.TonesHeard, s.Tones, s.Strange = s.TonesHeard+t.Heard, s.Tones+t.Expected, s.Strange+t.Strange
			s.ToneSpread = max(s.ToneSpread, t.Spread)
			if t.Own != 0 && (s.OwnTone == 0 || t.Own > s.OwnTone) {
				s.OwnTone = t.Own
			}
		}
	}
	if lost := s.VideoLost + s.AudioLost; lost > 0 {
		s.Loss = float64(lost) / float64(packets+lost)
	}
	s.Join, s.Sound, s.Answer = spread(join), spread(sound), spread(answer)
	s.FPS, s.VideoKbps, s.AudioKbps = spread(fps), spread(video), spread(audio)
	r.Summary = s
}

// failure says what keeps a run from being a success, or nothing.
func (r *Report) failure() error {
	missing, why := 0, ""
	for _, c := range r.Clients {
		if !c.Joined {
			missing++
			why = c.Error
		}
	}
	switch {
	case missing > 0 && why != "":
		return fmt.Errorf("%d of %d did not join room %q: %s", missing, len(r.Clients), r.Room, why)
	case missing > 0:
		return fmt.Errorf("%d of %d had not joined room %q when the time was over", missing, len(r.Clients), r.Room)
	case r.Summary.NoPicture > 0:
		return fmt.Errorf("%d of %d joined room %q but never got a picture", r.Summary.NoPicture, len(r.Clients), r.Room)
	}
	return nil
}

// WriteJSON writes the report to a file; "-" is the standard output.
func (r *Report) WriteJSON(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if path == "-" {
		_, err = os.Stdout.Write(b)
		return err
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return nil
}

// maxRows is how many clients the table shows; the worst come first.
const maxRows = 12

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	rows := slices.Clone(r.Clients)
	slices.SortStableFunc(rows, func(a, b Client) int {
		switch {
		case a.Joined != b.Joined:
			if b.Joined {
				return -1
			}
			return 1
		case (a.Listener == nil) != (b.Listener == nil):
			if a.Listener != nil {
				return -1
			}
			return 1
		case a.FPS < b.FPS:
			return -1
		case a.FPS > b.FPS:
			return 1
		}
		return a.ID - b.ID
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "who\tjoin ms\tfps\tvideo kb/s\taudio kb/s\tlost\tlate\tgap ms\ttiles\tage p50\tp95\ttones\town dB\t")
	for i, c := range rows {
		if i == maxRows {
			fmt.Fprintf(t, "and %d more\t\t\t\t\t\t\t\t\t\t\t\t\t\n", len(rows)-i)
			break
		}
		if !c.Joined {
			fmt.Fprintf(t, "%s\tnot in\t\t\t\t\t\t\t\t\t\t\t\t\n", c.Identity)
			continue
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.1f\t%.0f\t%.0f\t%d\t%d\t%d\t", c.Identity, c.Join, c.FPS, c.Video.Kbps, c.Audio.Kbps,
			c.Video.Lost+c.Audio.Lost, c.Audio.Late, c.Video.GapMillis)
		if l := c.Listener; l != nil {
			fmt.Fprintf(t, "%d/%d\t%.0f\t%.0f\t%d/%d\t%s\t\n", l.TilesSeen, l.TilesExpected, l.Age.P50, l.Age.P95, l.Tones.Heard, l.Tones.Expected, ownTone(l.Tones.Own))
		} else {
			fmt.Fprintf(t, "\t\t\t\t\t\n")
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	s := r.Summary
	_, err := fmt.Fprintf(w, `
joined        %d of %d, rejoins %d
first picture p50 %.0f ms, p95 %.0f ms; first sound p50 %.0f ms; answer p50 %.0f ms
frames/s      min %.1f, p50 %.1f; longest gap %d ms
kb/s          video p50 %.0f, audio p50 %.0f
packets lost  video %d, audio %d (%.3f %%); sound late %d times, longest gap %d ms
asked         %d keyframes of the bots
`, s.Joined, len(r.Clients), s.Rejoins, s.Join.P50, s.Join.P95, s.Sound.P50, s.Answer.P50,
		s.FPS.Min, s.FPS.P50, s.VideoGap, s.VideoKbps.P50, s.AudioKbps.P50,
		s.VideoLost, s.AudioLost, 100*s.Loss, s.AudioLate, s.AudioGap, s.Asked)
	if err == nil && s.Listeners > 0 {
		note := ""
		if r.Speech {
			note = " (or others' speech there: --sound tones tells)"
		}
		_, err = fmt.Fprintf(w, `tiles         %d of %d seen; age p50 %.0f ms, p95 %.0f ms, max %.0f ms
tones         %d of %d heard, within %.1f dB; own tone %s dB%s; %d out of turn
`, s.TilesSeen, s.Tiles, s.AgeP50, s.AgeP95, s.AgeMax, s.TonesHeard, s.Tones, s.ToneSpread, ownTone(s.OwnTone), note, s.Strange)
	}
	for _, h := range r.Hostile {
		if err == nil {
			_, err = fmt.Fprintf(w, "hostile       %s: %d packets in %d sessions %s\n", h.Kind, h.Packets, h.Sessions, h.Error)
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "load itself   %.2f cores\n", r.CPU)
	}
	return err
}

func ownTone(db float64) string {
	if db == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", db)
}
