package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/pion/webrtc/v3"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/mixer"
)

// joinAttempts is how often a bot tries to get in.
const joinAttempts = 5

// Run joins the bots, waits, and tells what they got. It ends well when all of
// them joined and saw a picture.
func (c *Command) Run(ctx context.Context) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return c.run(ctx, catalog.Default(), os.Stdout, newProgress(os.Stderr))
}

func (c *Command) run(ctx context.Context, codecs codec.Set, out io.Writer, progress *Progress) error {
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	door, err := c.door()
	if err != nil {
		return err
	}
	defer door.Client.CloseIdleConnections()
	width, height, err := c.size()
	if err != nil {
		return err
	}
	clips := ClipConfig{
		Width: width, Height: height, FPS: c.FPS, Bitrate: c.Bitrate * 1000, Speech: c.Sound == "speech",
		Video: codecs.Find("VP8"), Audio: codecs.Find("opus"),
	}
	if clips.Video == nil || clips.Audio == nil {
		return errors.New("this build has no VP8 or no opus, which the bots send")
	}
	loaded, err := c.load(ctx, clips, progress)
	if err != nil {
		return err
	}
	var takes codec.Set
	for _, name := range c.Takes {
		video := codecs.Of(codec.Video).Find(name)
		if video == nil {
			return fmt.Errorf("--takes %s: this build has no such codec", name)
		}
		takes = append(takes, video)
	}
	engine, err := newEngine(door.Base, clips.Audio, takes...)
	if err != nil {
		return err
	}
	var bots []*Bot
	for i, r := range c.each() {
		door := *door
		door.Room = r.Room
		crew, err := r.crew(&door, engine, clips, takes, loaded[i*c.Bots:][:c.Bots], log)
		bots = append(bots, crew...)
		if err != nil {
			closeListeners(bots, log)
			return err
		}
	}
	kinds, err := parseHostile(c.Hostile)
	if err != nil {
		return err
	}
	hostile := startHostile(ctx, kinds, door, codecs, log)
	report := c.stay(ctx, bots, progress)
	report.Hostile = hostile.stop()
	closeListeners(bots, log)
	table := out
	if c.JSON == "-" {
		table = os.Stderr
	}
	if err := report.WriteTable(table); err != nil {
		return err
	}
	if c.JSON != "" {
		if err := report.WriteJSON(c.JSON); err != nil {
			return err
		}
	}
	return report.failure()
}

// load gets the clips of all bots, making the missing ones on all cores.
func (c *Command) load(ctx context.Context, clips ClipConfig, progress *Progress) ([]*Clip, error) {
	dir := c.Cache
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			base = os.TempDir() // no home, as some services have it
		}
		dir = filepath.Join(base, "mixdown", "clips")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := make([]*Clip, c.Bots*c.Rooms)
	ids, made := make(chan int), make(chan struct{})
	var workers sync.WaitGroup
	for range min(runtime.NumCPU(), len(out)) {
		workers.Go(func() {
			for i := range ids {
				clip, err := clips.Load(ctx, dir, c.First+i)
				if err != nil {
					cancel(err)
					return
				}
				out[i] = clip
				made <- struct{}{}
			}
		})
	}
	workers.Go(func() {
		defer close(ids)
		for i := range out {
			select {
			case ids <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	go func() {
		workers.Wait()
		close(made)
	}()
	n := 0
	for range made {
		n++
		progress.Show(time.Now(), n == len(out), "making clips %d/%d", n, len(out))
	}
	progress.End()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, nil
}

// crew makes the bots and the viewers of one room.
func (c *Command) crew(door *Door, engine *webrtc.API, clips ClipConfig, takes codec.Set, loaded []*Clip, log *slog.Logger) ([]*Bot, error) {
	crew, schedule, prefix := newCrew(), c.schedule(), c.Prefix
	if prefix == "" {
		prefix = fmt.Sprintf("bot%03d", rand.IntN(1000))
	}
	var bots []*Bot
	for i := range c.Bots + c.Viewers {
		b := &Bot{
			Attempts: joinAttempts, door: door, engine: engine, clips: clips, takes: takes, schedule: schedule, crew: crew, log: log,
			Video: &Receiver{kind: codec.Video}, Audio: &Receiver{kind: codec.Audio},
		}
		if i < c.Bots {
			b.ID, b.clip = c.First+i, loaded[i]
			b.Identity = mixer.Identity{ID: fmt.Sprintf("%s-%02d", prefix, b.ID), Name: personName(b.ID), Role: mixer.Participant}
			if !c.Names {
				b.Identity.Name = fmt.Sprintf("Bot %d", b.ID)
			}
		} else {
			n := i - c.Bots + 1
			b.ID = -n
			b.Identity = mixer.Identity{ID: fmt.Sprintf("%s-viewer-%02d", prefix, n), Name: fmt.Sprintf("Viewer %d", n), Role: mixer.Viewer}
		}
		if i < c.Listen {
			l, err := newListener(b.ID, schedule, crew, clips)
			if err != nil {
				closeListeners(bots, log)
				return nil, err
			}
			b.listener = l
		}
		bots = append(bots, b)
	}
	return bots, nil
}

func closeListeners(bots []*Bot, log *slog.Logger) {
	for _, b := range bots {
		if b.listener == nil {
			continue
		}
		if err := b.listener.Close(); err != nil {
			log.Debug("close listener", "bot", b.ID, "err", err)
		}
	}
}

// stay runs the bots for the time that was asked for.
func (c *Command) stay(ctx context.Context, bots []*Bot, progress *Progress) *Report {
	began, cpu := time.Now(), cpuTime()
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	over := make(chan struct{}, len(bots))
	var running sync.WaitGroup
	running.Go(func() {
		for i, b := range bots {
			if i > 0 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(c.StartInterval):
				}
			}
			running.Go(func() {
				err := b.Run(ctx)
				if err != nil {
					b.log.Debug("gave up", "bot", b.ID, "err", err)
				}
				over <- struct{}{}
			})
		}
	})

	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	soon := time.NewTicker(20 * time.Millisecond) // until all are in
	defer soon.Stop()
	var end, settle <-chan time.Time
	gone := 0
	pace := &pace{at: began}
	rates := newRates(bots, began)
watching:
	for {
		select {
		case <-ctx.Done():
			break watching
		case <-end:
			break watching
		case <-over:
			if gone++; gone == len(bots) {
				break watching // nobody got in
			}
		case <-soon.C:
			if settled(bots) < len(bots) {
				continue
			}
			soon.Stop()
			if c.Duration > 0 {
				end = time.After(c.Duration)
			}
			if c.Settle > 0 {
				settle = time.After(c.Settle)
			}
		case <-settle:
			for _, b := range bots {
				b.Video.Forget()
				b.Audio.Forget()
			}
			pace.frames, pace.bytes = 0, 0
		case now := <-tick.C:
			progress.Show(now, false, "%s", pace.line(bots, now))
			rates.note(now)
		}
	}
	progress.End()
	now := time.Now()
	r := &Report{
		URL: c.URL, Room: c.Room, Began: began.UTC(), Seconds: now.Sub(began).Seconds(),
		Rooms: c.Rooms, Bots: c.Bots * c.Rooms, Viewers: c.Viewers * c.Rooms,
		Size: c.Size, FPS: c.FPS, Speech: c.Sound == "speech", Sent: c.Bitrate, CPU: (cpuTime() - cpu).Seconds() / now.Sub(began).Seconds(),
		Rates: rates.noted,
	}
	for _, b := range bots {
		r.Clients = append(r.Clients, b.client(now))
	}
	r.summarize()
	leave()
	running.Wait()
	return r
}

// settled counts the bots that are in, or were, or have given up.
func settled(bots []*Bot) (n int) {
	for _, b := range bots {
		if s := b.Status(); s.Joined || s.GaveUp {
			n++
		}
	}
	return n
}

// cpuTime is what this process has spent.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
