package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mixdown/cmd/internal/child"
	"mixdown/cmd/mixdown/load"
	"mixdown/cmd/weak/link"
	"mixdown/mixer"
)

// Bar codes and tones of the browsers; both lie off the bots'.
const (
	weakCode, strongCode = 101, 100
	weakTone, strongTone = 600, 2650 // Hz
	weakTurn, strongTurn = 0, 1      // slots they speak in
	weakName, strongName = "Weak", "Strong"
)

// taken is what a browser has seen and heard.
type taken struct {
	Frames [][]float64 `json:"frames"`
	Sounds [][]float64 `json:"sounds"`
	Stats  []stat      `json:"stats"`
	Status string      `json:"status"`
	Said   []string    `json:"said"`
}

// stat is one look at getStats; times in ms.
type stat struct {
	T     float64 `json:"t"`
	State string  `json:"state"`
	RTT   float64 `json:"rtt"`
	Video struct {
		Bytes     float64 `json:"bytes"`
		Keyframes float64 `json:"keyframes"`
		Freezes   float64 `json:"freezes"`
		Frozen    float64 `json:"frozen"`
		Plis      float64 `json:"plis"`
		Delay     float64 `json:"delay"` // s, of all pictures that came out of the buffer, added up
		Emitted   float64 `json:"emitted"`
	} `json:"video"`
	Audio struct {
		Bytes     float64 `json:"bytes"`
		Samples   float64 `json:"samples"`
		Concealed float64 `json:"concealed"`
		Silent    float64 `json:"silent"`
		Delay     float64 `json:"delay"` // s, of all samples that came out of the buffer, added up
		Target    float64 `json:"target"`
		Least     float64 `json:"least"`
		Emitted   float64 `json:"emitted"` // samples
	} `json:"audio"`
	VideoOut struct {
		Bytes float64 `json:"bytes"`
	} `json:"videoOut"`
	AudioOut struct {
		Bytes float64 `json:"bytes"`
	} `json:"audioOut"`
}

// stage is a room with its people and the link.
type stage struct {
	cfg      runConfig
	row      Row
	show     func(string, ...any)
	link     *link.Link
	server   *server
	bots     *child.Child
	audience *audience
	schedule load.Schedule

	began    time.Time // the click on Join
	weak     string    // the weak client's identity, once it is in
	tiles    map[string]string
	timeline []Moment
	last     [2]link.Counters
	lastAt   time.Time
}

// measure makes one run. An error means that nothing could be measured; a
// client that gets nothing is an outcome.
func (c *runConfig) measure(ctx context.Context, row Row, seed uint64, show func(string, ...any)) (o *Outcome, err error) {
	s := &stage{cfg: *c, row: row, show: show, tiles: map[string]string{}, schedule: load.Schedule{FPS: 25, Bots: c.Bots, Talkers: c.Talkers}}
	defer s.close()
	show("link")
	if s.link, err = link.Open(ctx, link.Config{Seed: seed}); err != nil {
		return nil, err
	}
	if err := s.assemble(ctx); err != nil {
		return nil, err
	}
	o = &Outcome{Row: row.Name, Seed: seed, Version: version(ctx, c.Binary)}
	if err := s.watch(ctx, o); err != nil {
		return nil, err
	}
	return o, nil
}

// close ends all that was started.
func (s *stage) close() {
	if s.audience != nil {
		s.audience.close()
	}
	if s.bots != nil {
		s.bots.Stop()
	}
	if s.server != nil {
		if err := s.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "weak: the server:", err)
		}
	}
	if s.link != nil {
		if err := s.link.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "weak: take the link down:", err)
		}
	}
}

// assemble brings everybody but the weak client into the room, and that one to
// its door.
func (s *stage) assemble(ctx context.Context) (err error) {
	s.show("server")
	addresses := []string{"127.0.0.1"}
	for _, a := range s.link.Server() {
		addresses = append(addresses, a.String())
	}
	if s.server, err = startServer(ctx, s.cfg, addresses); err != nil {
		return err
	}
	key, err := s.server.MakeRoom(ctx, room)
	if err != nil {
		return err
	}
	s.show("bots")
	args := []string{
		s.cfg.Binary, "load", "--url", s.server.URL, "--room", room, "--bots", fmt.Sprint(s.cfg.Bots), "--talkers", fmt.Sprint(s.cfg.Talkers),
		"--sound", "tones", "--prefix", "bot", "--duration", "0", "--listen", "0", "--tier", s.cfg.Tier,
	}
	s.bots = child.Prepare(s.server.Env, args...)
	if err := s.bots.Start(nil); err != nil {
		s.bots = nil
		return err
	}
	s.show("browsers")
	if s.audience, err = startAudience(s.cfg.Browsers); err != nil {
		return err
	}
	for _, who := range []string{strongName, weakName} {
		host, space, code, tone, turn := "127.0.0.1", "", strongCode, strongTone, strongTurn
		if who == weakName {
			host, space, code, tone, turn = s.link.Server()[0].String(), s.link.Namespace(), weakCode, weakTone, weakTurn
		}
		tones := []float64{}
		for _, v := range s.speakers(who) {
			tones = append(tones, v.hz)
		}
		if err := s.audience.tell(ctx, "open", who, map[string]any{
			"namespace": space, "url": fmt.Sprintf("http://%s:%d/r/%s#%s", host, s.server.Port, room, key), "name": who,
			"config": map[string]any{"code": code, "tone": tone, "turn": turn, "fps": s.schedule.FPS, "loop": 8, "slot": slotSeconds, "tones": tones},
		}, nil); err != nil {
			return err
		}
	}
	if err := s.audience.tell(ctx, "join", strongName, nil, nil); err != nil {
		return err
	}
	deadline := time.Now().Add(time.Minute) // the first run makes the bots' clips
	for {
		st, err := s.server.state(ctx)
		if err != nil {
			return err
		}
		in := 0
		for _, m := range st.Participants {
			if m.Publishes && m.Receives {
				in++
			}
		}
		if in == s.cfg.Bots+1 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("only %d of %d came in: %s", in, s.cfg.Bots+1, s.bots.Tail())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.bots.Gone():
			return fmt.Errorf("the bots left: %s", s.bots.Tail())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// speakers are those whose tones somebody is to hear: the bots, then the other browser.
func (s *stage) speakers(who string) (out []speaker) {
	for id := range s.cfg.Bots {
		out = append(out, botSpeaker(s.schedule, id))
	}
	if who == weakName {
		return append(out, browserSpeaker(strongTone, strongTurn))
	}
	return append(out, browserSpeaker(weakTone, weakTurn))
}

// mark is what had been counted at a moment.
type mark struct {
	lanes   [2]link.Counters
	metrics child.Metrics
}

func (s *stage) mark(ctx context.Context) (m mark, err error) {
	m.lanes = [2]link.Counters{s.link.Counters(link.Up), s.link.Counters(link.Down)}
	m.metrics, err = s.server.Metrics(ctx)
	return m, err
}

// part is a stretch of the run in which the link does not change.
type part struct {
	from, to time.Duration // since the click
	step     Step
	settled  time.Duration // from here on the link is measured
	marks    [2]mark       // at settled and to
}

// parts cuts a run up.
func (s *stage) parts() (out []part) {
	steps := s.row.Steps
	for i, step := range steps {
		p := part{from: step.At, to: step.At + stepTime, step: step, settled: step.At + 5*time.Second}
		if len(steps) == 1 {
			p.to, p.settled = s.cfg.Settle+s.cfg.Duration, s.cfg.Settle
		}
		if i < len(steps)-1 {
			p.to = steps[i+1].At
		}
		out = append(out, p)
	}
	return out
}

// watch lets the weak client in and follows the run to its end.
func (s *stage) watch(ctx context.Context, o *Outcome) error {
	parts := s.parts()
	first, end := s.cfg.Settle, parts[len(parts)-1].to
	if len(parts) > 1 {
		first = parts[1].from // from the fall on
	}
	if err := s.set(parts[0].step); err != nil {
		return err
	}
	if err := s.audience.tell(ctx, "reach", weakName, nil, nil); err != nil {
		return err
	}
	var begun, over mark
	var err error
	s.began = time.Now()
	o.Began = s.began
	s.lastAt = s.began
	s.last = [2]link.Counters{s.link.Counters(link.Up), s.link.Counters(link.Down)}
	joined := make(chan error, 1)
	go func() { joined <- s.audience.tell(ctx, "join", weakName, nil, nil) }()

	// One list of what is to be done when; looking around goes on between.
	type event struct {
		at time.Duration
		do func() error
	}
	events := []event{{first, func() error { begun, err = s.mark(ctx); return err }}}
	for i := range parts {
		p := &parts[i]
		if i > 0 {
			events = append(events, event{p.from, func() error { return s.set(p.step) }})
		}
		events = append(events,
			event{p.settled, func() error { p.marks[0], err = s.mark(ctx); return err }},
			event{p.to, func() error { p.marks[1], err = s.mark(ctx); return err }})
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for len(events) > 0 {
		at := 0
		for i := range events {
			if events[i].at < events[at].at {
				at = i
			}
		}
		next := events[at]
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.bots.Gone():
			return fmt.Errorf("the bots left: %s", s.bots.Tail())
		case <-s.server.Gone():
			return fmt.Errorf("the server ended: %s", s.server.Tail())
		case e := <-joined:
			if e != nil {
				o.Failed = e.Error()
			}
		case <-time.After(time.Until(s.began.Add(next.at))):
			if err := next.do(); err != nil {
				return err
			}
			events = append(events[:at], events[at+1:]...)
		case now := <-tick.C:
			if err := s.look(ctx, now); err != nil {
				return err
			}
			m := s.timeline[len(s.timeline)-1]
			s.show("%.0f of %.0f s, %.0f of %.0f kb/s, queue %.0f ms, tier %s", m.At, end.Seconds(), m.Carried, m.Rate, m.Queue, m.Tier)
		}
	}
	if over, err = s.mark(ctx); err != nil {
		return err
	}
	if s.cfg.Shot != "" {
		path, err := filepath.Abs(s.cfg.Shot)
		if err != nil {
			return err
		}
		if err := s.audience.tell(ctx, "shot", weakName, map[string]any{"path": path}, nil); err != nil {
			return err
		}
	}
	var weak, strong taken
	if err := errors.Join(s.audience.tell(ctx, "take", weakName, nil, &weak), s.audience.tell(ctx, "take", strongName, nil, &strong)); err != nil {
		return err
	}
	w := window{millisOf(s.began.Add(first)), millisOf(s.began.Add(end))}
	s.judge(o, w, weak, strong)
	s.links(o, parts)
	seconds := (end - first).Seconds()
	o.Settled, o.Seconds = Figure(first.Seconds()), Figure(seconds)
	o.Cores = Figure((over.metrics.Sum("process_cpu_seconds_total") - begun.metrics.Sum("process_cpu_seconds_total")) / seconds)
	keyed := over.metrics.Sum("mixdown_tier_keyframes_total") - begun.metrics.Sum("mixdown_tier_keyframes_total")
	o.Keyed = Figure(max(0, keyed) * 60 / seconds)
	return nil
}

func (s *stage) set(step Step) error {
	if s.cfg.Uplink > 0 {
		step.Up.Rate = s.cfg.Uplink
	}
	return errors.Join(s.link.Set(link.Down, step.Down), s.link.Set(link.Up, step.Up))
}

func millisOf(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }

// look notes the state of things, and tells the browsers where the tiles are.
func (s *stage) look(ctx context.Context, now time.Time) error {
	st, err := s.server.state(ctx)
	if err != nil {
		return err
	}
	up, down := s.link.Counters(link.Up), s.link.Counters(link.Down)
	seconds := now.Sub(s.lastAt).Seconds()
	kbps := func(bytes int64) Figure { return Figure(float64(bytes) * 8 / 1000 / seconds) }
	rate := float64(s.link.Shape(link.Down).Rate)
	m := Moment{
		At: Figure(now.Sub(s.began).Seconds()), Rate: Figure(rate / 1000),
		Offered: kbps(down.InBytes - s.last[link.Down].InBytes), Carried: kbps(down.OutBytes - s.last[link.Down].OutBytes),
		Up: kbps(up.OutBytes - s.last[link.Up].OutBytes), Drops: down.Dropped - s.last[link.Down].Dropped,
	}
	if rate > 0 {
		m.Queue = Figure(float64(down.Waiting) * 8 * 1000 / rate)
	}
	if rate := float64(s.link.Shape(link.Up).Rate); rate > 0 {
		m.UpQueue = Figure(float64(up.Waiting) * 8 * 1000 / rate)
	}
	sinceDown, sinceUp := down.Since(s.last[link.Down]), up.Since(s.last[link.Up])
	m.OfDown, m.OfUp = sinceDown.Of[:], sinceUp.Of[:]
	s.last, s.lastAt = [2]link.Counters{up, down}, now
	m.Estimate = none
	for _, p := range st.Participants {
		if p.Name == weakName {
			m.Tier, s.weak = p.Tier, p.ID
			known, err := s.server.Metrics(ctx)
			if err != nil {
				return err
			}
			m.Estimate = Figure(known.Sum("mixdown_webrtc_link_estimate_bps", `"`+p.ID+`"`) / 1000)
			if p.Ask != nil {
				m.Asked = p.Ask.Bitrate
			}
		}
		if p.Name != weakName && p.Name != strongName {
			continue
		}
		if err := s.point(ctx, p, st.Layouts); err != nil {
			return err
		}
	}
	s.timeline = append(s.timeline, m)
	return nil
}

// point tells a browser where the tiles of its canvas are, when that changed.
func (s *stage) point(ctx context.Context, who mixer.Member, layouts []mixer.CanvasState) error {
	for _, c := range layouts {
		if c.Canvas != who.Canvas && len(layouts) > 1 {
			continue
		}
		tiles := []map[string]int{}
		for _, t := range c.Tiles {
			if t.More == 0 {
				tiles = append(tiles, map[string]int{"x": t.X, "y": t.Y, "w": t.W, "h": t.H})
			}
		}
		if key := fmt.Sprint(tiles); s.tiles[who.Name] != key {
			s.tiles[who.Name] = key
			return s.audience.tell(ctx, "tiles", who.Name, map[string]any{"tiles": tiles}, nil)
		}
	}
	return nil
}
