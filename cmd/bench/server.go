package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"mixdown/cmd/internal/child"
)

// Sample is a whole server with some bots in one room or several.
type Sample struct {
	Rooms    int
	Bots     int           // in each room
	Tier     string        // that they ask for; empty is the default
	Window   time.Duration // that CPU was taken over
	Cores    float64       // CPU time of the server over wall time
	Before   float64       // MB resident at the beginning of the window
	RSS      float64       // MB resident at its end
	FPS      float64       // pictures a second that a bot receives, p50
	LeastFPS float64       // and the least of all bots
	Kbps     float64       // kb/s that a bot receives, p50
	Loss     float64       // share of packets
	Late     float64       // packets of sound more than 60 ms after the one before, all bots
	VideoGap float64       // longest time between two pictures, ms, of all bots
	AudioGap float64       // the same of sound
	JoinMS   float64       // to the first picture, p50
	AgeMS    float64       // of tiles when a listening bot decodes them, p50 of the worst
	Age95    float64       // the same, p95
}

func medianSample(samples []Sample) Sample {
	of := func(value func(Sample) float64) float64 {
		var vs []float64
		for _, s := range samples {
			vs = append(vs, value(s))
		}
		return median(vs)
	}
	return Sample{
		Rooms:    samples[0].Rooms,
		Bots:     samples[0].Bots,
		Tier:     samples[0].Tier,
		Window:   samples[0].Window,
		Cores:    of(func(s Sample) float64 { return s.Cores }),
		Before:   of(func(s Sample) float64 { return s.Before }),
		RSS:      of(func(s Sample) float64 { return s.RSS }),
		FPS:      of(func(s Sample) float64 { return s.FPS }),
		LeastFPS: of(func(s Sample) float64 { return s.LeastFPS }),
		Kbps:     of(func(s Sample) float64 { return s.Kbps }),
		Loss:     of(func(s Sample) float64 { return s.Loss }),
		Late:     of(func(s Sample) float64 { return s.Late }),
		VideoGap: of(func(s Sample) float64 { return s.VideoGap }),
		AudioGap: of(func(s Sample) float64 { return s.AudioGap }),
		JoinMS:   of(func(s Sample) float64 { return s.JoinMS }),
		AgeMS:    of(func(s Sample) float64 { return s.AgeMS }),
		Age95:    of(func(s Sample) float64 { return s.Age95 }),
	}
}

// server is one that was started to be measured, with a room.
type server struct{ *child.Server }

const room = "bench"

// measure takes a server's CPU time over the window, with n bots in each room.
func measure(ctx context.Context, cfg Config, c crowdSize) (Sample, error) {
	var before, after usage
	var took time.Duration
	s, err := serveBots(ctx, cfg, c, nil, func(ctx context.Context, srv *server) error {
		var err error
		if before, err = readUsage(srv.Cmd.Process.Pid); err != nil {
			return err
		}
		start := time.Now()
		if err := sleep(ctx, cfg.Window); err != nil {
			return err
		}
		after, err = readUsage(srv.Cmd.Process.Pid)
		took = time.Since(start)
		return err
	})
	s.Rooms, s.Bots, s.Tier, s.Window = c.Rooms, c.Bots, c.Tier, cfg.Window
	s.Cores, s.Before, s.RSS = (after.cpu-before.cpu).Seconds()/took.Seconds(), before.rss, after.rss
	return s, err
}

// serveBots starts a server with further flags and the bots of a crowd in its rooms,
// waits until all are in and have settled, and calls during, which is to take as
// long as the window. The sample holds what the bots had of that time.
func serveBots(ctx context.Context, cfg Config, c crowdSize, flags []string, during func(context.Context, *server) error) (s Sample, err error) {
	srv, err := startServer(ctx, cfg.Binary, flags...)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()

	// They count from when they are all in and have settled, and outstay the window.
	dir, err := os.MkdirTemp("", "mixdown-bench-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	result := filepath.Join(dir, "load.json")
	bots := child.Prepare(srv.Env, cfg.Binary, "load", "--url", srv.URL, "--room", room, "--rooms", strconv.Itoa(c.Rooms), "--tier", c.Tier,
		"--bots", strconv.Itoa(c.Bots), "--duration", (cfg.Settle + cfg.Window + time.Second).String(), "--settle", cfg.Settle.String(), "--json", result)
	if err := bots.Start(nil); err != nil {
		return s, err
	}
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		<-bots.Gone()
		cancel(fmt.Errorf("the bots left early: %w", errors.Join(bots.Err(), errors.New("load ended"))))
	}()

	err = srv.fill(watched, c.Rooms, c.Bots)
	if err == nil {
		err = sleep(watched, cfg.Settle)
	}
	if err == nil {
		err = during(watched, srv)
	}
	if err != nil {
		if watched.Err() != nil {
			err = context.Cause(watched)
		}
		bots.Stop()
		return s, bots.Last(err)
	}
	if err := bots.Within(ctx); err != nil {
		return s, bots.Last(fmt.Errorf("load: %w", err))
	}
	return readLoad(result)
}

// fill waits until n people are in each room.
func (s *server) fill(ctx context.Context, rooms, n int) error {
	deadline := time.Now().Add(2 * time.Minute) // the first run makes the bots' clips
	for {
		in := 0
		for i := range rooms {
			name := room
			if rooms > 1 {
				name = fmt.Sprintf("%s-%d", room, i+1)
			}
			here, err := s.participantsOf(ctx, name)
			if err != nil && rooms == 1 {
				return err
			}
			in += here // a room that is not there yet has nobody in it
		}
		if in >= rooms*n {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("only %d of %d bots came in", in, rooms*n)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func startServer(ctx context.Context, binary string, flags ...string) (*server, error) {
	s, err := child.StartServer(ctx, child.Config{Binary: binary, Host: "127.0.0.1", Flags: flags})
	if err != nil {
		return nil, err
	}
	if _, err := s.MakeRoom(ctx, room); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &server{s}, nil
}

func (s *server) participants(ctx context.Context) (int, error) { return s.participantsOf(ctx, room) }

func (s *server) participantsOf(ctx context.Context, name string) (int, error) {
	var view struct {
		Participants int `json:"participants"`
	}
	err := s.Call(ctx, http.MethodGet, "/api/v1/rooms/"+name, "", &view)
	return view.Participants, err
}

// freePort returns a port that TCP has free; the server takes the same number in
// UDP.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
