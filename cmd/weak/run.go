package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mixdown/cmd/internal/child"
	"mixdown/cmd/mixdown/load"
	"mixdown/cmd/weak/link"
	"mixdown/mixer"
)

// runCommand is `weak run`.
type runCommand struct {
	runConfig `embed:""`
	Rows      []string `help:"Rows to measure (all)." placeholder:"NAME,…"`
	Runs      int      `help:"Runs of each row; with another seed each (${default})." default:"5" placeholder:"N"`
	Note      string   `help:"A sentence for the top of the report." placeholder:"TEXT"`
	Docs      string   `help:"Folder that weak.md and its plots are written to; empty: none (${default})." default:"docs" placeholder:"DIR"`
}

// runConfig is how a run is made.
type runConfig struct {
	Binary   string        `help:"The server to measure (${default})." default:"bin/mixdown" placeholder:"FILE"`
	Config   string        `help:"Its configuration, if not the one it has by itself." placeholder:"FILE"`
	Browsers string        `help:"The browsers' program (${default})." default:"api/web/e2e/weak-client.js" placeholder:"FILE"`
	Kept     string        `help:"Folder of the outcomes that the report is made from (${default})." default:".cache/weak" placeholder:"DIR"`
	Bots     int           `help:"Bots in the room (${default})." default:"7" placeholder:"N"`
	Talkers  int           `help:"How many of them speak at once (${default})." default:"2" placeholder:"N"`
	Tier     string        `help:"Tier that the bots ask for; empty: the server's choice." placeholder:"NAME"`
	Settle   time.Duration `help:"From the click on Join to the beginning of the measurement (${default})." default:"12s"`
	Duration time.Duration `help:"Of the measurement; rows with steps have their own (${default})." default:"30s"`
	Seed     uint64        `help:"Of the first run (${default})." default:"1" placeholder:"N"`
	Port     int           `help:"First of two free ports in a row is looked for from here on (${default})." default:"26000" placeholder:"N"`
	Uplink   int           `help:"Rate up, bit/s, instead of the rows'." placeholder:"BPS"`
	Shot     string        `help:"Keep a picture of the weak client's page here." placeholder:"FILE"`
}

// Run measures and reports.
func (c *runCommand) Run(ctx context.Context) error {
	wanted, err := pick(c.Rows)
	if err != nil {
		return err
	}
	if c.Runs < 1 || c.Settle < 0 || c.Duration < 5*time.Second {
		return errors.New("--runs must be at least 1, --duration at least 5s, and --settle not negative")
	}
	for i := range c.Runs {
		for _, row := range wanted {
			name := fmt.Sprintf("%s, run %d of %d", row.Name, i+1, c.Runs)
			o, err := c.measure(ctx, row, c.Seed+uint64(i), progress(name))
			fmt.Fprint(os.Stderr, "\r\x1b[K")
			if ctx.Err() != nil {
				return errors.New("interrupted; what was started has been taken down")
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Fprintf(os.Stderr, "weak: %s: %s\n", name, o.line())
			if err := o.save(c.Kept); err != nil {
				return err
			}
		}
	}
	if c.Docs == "" {
		return nil
	}
	return (&reportCommand{Kept: c.Kept, Docs: c.Docs, Note: c.Note}).Run()
}

// progress returns a function that shows how a run is getting on.
func progress(name string) func(format string, args ...any) {
	return func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s: %s", name, fmt.Sprintf(format, args...))
	}
}

// line is an outcome in one.
func (o *Outcome) line() string {
	if o.Failed != "" {
		return "FAILED: " + o.Failed
	}
	p, s := o.Weak.Picture, o.Weak.Sound
	d := o.Down
	return fmt.Sprintf("%.1f pictures/s, longest freeze %.1f s, age p95 %.1f s, concealed %.1f %%, gap %.0f ms, mouth to ear %.0f ms, sent %.0f kb/s (sound %.1f, pictures %.1f, RTCP %.1f, TCP %.1f, rest %.1f), dropped %.1f %%, queue p50 %.0f p95 %.0f ms, buffer %.0f of %.0f, %.0f ms",
		p.FPS, p.LongestFreeze, p.AgeP95, 100*s.Concealed, s.LongestGap, s.DelayP50, d.Kbps, d.Sound, d.Pictures, d.RTCP, d.TCP, d.Rest, 100*d.Dropped, d.WaitP50, d.WaitP95,
		o.Weak.JitterMS, o.Weak.TargetMS, o.Weak.LeastMS)
}

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

// judge turns what the browsers saw and heard into figures.
func (s *stage) judge(o *Outcome, w window, weak, strong taken) {
	var ids []int
	for id := range s.cfg.Bots {
		ids = append(ids, id)
	}
	seen := shots(weak.Frames)
	o.Weak = person(weak, eye{s.schedule, append(ids[:len(ids):len(ids)], strongCode)}, s.speakers(weakName), w)
	// The strong one's picture is measured without the weak one's tile: that is
	// as good as its own link.
	o.Strong = person(strong, eye{s.schedule, ids}, s.speakers(strongName)[:s.cfg.Bots], w)
	o.Heard = listen(lastTone(strong.Sounds), []speaker{browserSpeaker(weakTone, weakTurn)}, w)

	o.Joined, o.Sounded, o.Back, o.Regained, o.HeardConcealed = none, none, none, none, none
	clicked := millisOf(s.began)
	if len(seen) > 0 {
		o.Joined = Figure((seen[0].at - clicked) / 1000)
	}
	for _, x := range weak.Stats {
		if x.Audio.Samples > x.Audio.Silent && !o.Sounded.known() {
			o.Sounded = Figure((x.T - clicked) / 1000)
		}
	}
	if len(seen) == 0 && len(weak.Sounds) == 0 {
		o.Failed = strings.TrimSpace(strings.Join(append([]string{"neither picture nor sound came.", weak.Status}, weak.Said...), " "))
	}
	if n := len(s.timeline); n > 0 {
		o.Tier = s.timeline[n-1].Tier
	}
	o.Timeline = s.timeline
	for i := range o.Timeline { // what the weak client saw, beside what the link did
		m := &o.Timeline[i]
		at := clicked + 1000*float64(m.At)
		n, newest := 0, math.NaN()
		for _, x := range seen {
			if x.at > at {
				break
			}
			m.Height, newest = x.height, x.at
			if x.at > at-1000 {
				n++
			}
		}
		m.FPS, m.Age = Figure(n), Figure((at-newest)/1000)
		m.buffers(weak.Stats, at)
	}
	if len(s.row.Steps) > 1 {
		fall, rise := s.row.Steps[1].At, s.row.Steps[2].At
		o.Back = moving(seen, clicked+float64(fall.Milliseconds()), clicked+float64(rise.Milliseconds()))
		o.Regained = regained(o.Timeline, fall.Seconds(), rise.Seconds())
	}
}

// buffers takes what getStats said of both buffers in the second before at.
func (m *Moment) buffers(stats []stat, at float64) {
	m.Sound, m.Meant, m.Least, m.Video = none, none, none, none
	var a, b *stat
	for i := range stats {
		if x := &stats[i]; x.T <= at {
			if x.T > at-1250 && a == nil {
				a = x
			}
			b = x
		}
	}
	if a == nil || a == b {
		return
	}
	emitted := b.Audio.Emitted - a.Audio.Emitted
	m.Sound = ratio(1000*(b.Audio.Delay-a.Audio.Delay), emitted)
	m.Meant = ratio(1000*(b.Audio.Target-a.Audio.Target), emitted)
	m.Least = ratio(1000*(b.Audio.Least-a.Audio.Least), emitted)
	m.Video = ratio(1000*(b.Video.Delay-a.Video.Delay), b.Video.Emitted-a.Video.Emitted)
}

// regained returns how many seconds after the rise of the rate pictures come
// again from the tier that they came from before its fall.
func regained(timeline []Moment, fall, rise float64) Figure {
	before := ""
	for _, m := range timeline {
		switch at := float64(m.At); {
		case m.FPS < 1:
		case at < fall:
			before = m.Tier
		case at >= rise && before != "" && m.Tier == before:
			return m.At - Figure(rise)
		}
	}
	return none
}

// lastTone keeps the last tone of what was heard.
func lastTone(raw [][]float64) (out [][]float64) {
	for _, r := range raw {
		if len(r) > 1 {
			out = append(out, []float64{r[0], r[len(r)-1]})
		}
	}
	return out
}

// person turns one browser's side into figures.
func person(t taken, e eye, speakers []speaker, w window) Person {
	p := Person{Picture: e.look(shots(t.Frames), w), Sound: listen(t.Sounds, speakers, w)}
	p.Keyframes, p.Freezes, p.FrozenS, p.Plis, p.JitterMS, p.TargetMS, p.LeastMS, p.RTT, p.SentKbps, p.GotKbps, p.VideoKbps = none, none, none, none, none, none, none, none, none, none, none
	var in []stat
	for _, x := range t.Stats {
		if x.T >= w.from && x.T <= w.to {
			in = append(in, x)
		}
	}
	if len(in) < 2 {
		return p
	}
	a, b := in[0], in[len(in)-1]
	seconds := (b.T - a.T) / 1000
	p.Sound.Concealed = ratio(b.Audio.Concealed-b.Audio.Silent-a.Audio.Concealed+a.Audio.Silent, b.Audio.Samples-a.Audio.Samples)
	p.Keyframes, p.Plis = Figure((b.Video.Keyframes-a.Video.Keyframes)*60/seconds), Figure((b.Video.Plis-a.Video.Plis)*60/seconds)
	p.Freezes, p.FrozenS = Figure(b.Video.Freezes-a.Video.Freezes), Figure(b.Video.Frozen-a.Video.Frozen)
	emitted := b.Audio.Emitted - a.Audio.Emitted
	p.JitterMS = ratio(1000*(b.Audio.Delay-a.Audio.Delay), emitted)
	p.TargetMS = ratio(1000*(b.Audio.Target-a.Audio.Target), emitted)
	p.LeastMS = ratio(1000*(b.Audio.Least-a.Audio.Least), emitted)
	p.SentKbps = Figure((b.VideoOut.Bytes + b.AudioOut.Bytes - a.VideoOut.Bytes - a.AudioOut.Bytes) * 8 / 1000 / seconds)
	p.GotKbps = Figure((b.Video.Bytes + b.Audio.Bytes - a.Video.Bytes - a.Audio.Bytes) * 8 / 1000 / seconds)
	p.VideoKbps = Figure((b.Video.Bytes - a.Video.Bytes) * 8 / 1000 / seconds)
	var rtts []float64
	for _, x := range in {
		rtts = append(rtts, 1000*x.RTT)
	}
	p.RTT = median(rtts)
	return p
}

// links sums up both directions over the parts once they had settled.
func (s *stage) links(o *Outcome, parts []part) {
	var sum [2]link.Counters
	var bits [2]float64
	seconds := 0.0
	made, heard := 0.0, 0.0
	for _, p := range parts {
		took := (p.to - p.settled).Seconds()
		seconds += took
		for d, shape := range []link.Shape{p.step.Up, p.step.Down} {
			sum[d] = sum[d].Plus(p.marks[1].lanes[d].Since(p.marks[0].lanes[d]))
			bits[d] += float64(shape.Rate) * took
		}
		for key := range p.marks[1].metrics {
			if strings.HasPrefix(key, "mixdown_participant_concealed_seconds_total{") && s.weak != "" && strings.Contains(key, `"`+s.weak+`"`) {
				made += p.marks[1].metrics[key] - p.marks[0].metrics[key]
				heard += took
			}
		}
	}
	o.Up, o.Down = lane(sum[link.Up], seconds, bits[link.Up]), lane(sum[link.Down], seconds, bits[link.Down])
	o.HeardConcealed = ratio(made, heard)
}
