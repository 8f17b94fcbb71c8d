package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// server is one that was started to be measured.
type server struct {
	cmd   *exec.Cmd
	url   string
	token string // operator's
	env   []string
	log   bytes.Buffer
}

const room = "bench"

// measure takes a server's CPU time over the window, with n bots in each room.
func measure(ctx context.Context, cfg Config, c crowdSize) (Sample, error) {
	var before, after usage
	var took time.Duration
	s, err := serveBots(ctx, cfg, c, nil, func(ctx context.Context, srv *server) error {
		var err error
		if before, err = readUsage(srv.cmd.Process.Pid); err != nil {
			return err
		}
		start := time.Now()
		if err := sleep(ctx, cfg.Window); err != nil {
			return err
		}
		after, err = readUsage(srv.cmd.Process.Pid)
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
	dir, err := os.MkdirTemp("", "mixdown-bench-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	srv, err := startServer(ctx, cfg.Binary, dir, flags...)
	if err != nil {
		return s, err
	}
	defer func() {
		err = errors.Join(err, srv.stop())
		if err != nil {
			err = fmt.Errorf("%w\nthe server's last words:\n%s", err, tail(srv.log.String(), 2000))
		}
	}()

	// They count from when they are all in and have settled, and outstay the window.
	result := filepath.Join(dir, "load.json")
	bots := exec.CommandContext(ctx, cfg.Binary, "load", "--url", srv.url, "--room", room, "--rooms", strconv.Itoa(c.Rooms), "--tier", c.Tier,
		"--bots", strconv.Itoa(c.Bots), "--duration", (cfg.Settle + cfg.Window + time.Second).String(), "--settle", cfg.Settle.String(), "--json", result)
	bots.Env = srv.env
	bots.Cancel = func() error { return bots.Process.Signal(syscall.SIGTERM) }
	bots.WaitDelay = 10 * time.Second
	var said bytes.Buffer
	bots.Stdout, bots.Stderr = &said, &said
	if err := bots.Start(); err != nil {
		return s, err
	}
	left := make(chan error, 1)
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		err := bots.Wait()
		cancel(fmt.Errorf("the bots left early: %w", errors.Join(err, errors.New("load ended"))))
		left <- err
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
		_ = bots.Cancel()
		<-left
		return s, fmt.Errorf("%w\nthe bots' last words:\n%s", err, tail(said.String(), 2000))
	}
	if err := <-left; err != nil {
		return s, fmt.Errorf("load: %w\n%s", err, tail(said.String(), 2000))
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

func startServer(ctx context.Context, binary, dir string, flags ...string) (*server, error) {
	httpPort, err := freePort()
	if err != nil {
		return nil, err
	}
	rtcPort, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{
		url: "http://127.0.0.1:" + httpPort,
		env: append(os.Environ(), "MIXDOWN_API_KEY=bench", "MIXDOWN_API_SECRET="+strings.Repeat("bench-", 8)),
	}
	s.cmd = exec.CommandContext(ctx, binary, append([]string{"serve", "--http-addr", "127.0.0.1:" + httpPort, "--tls", "off",
		"--rtc-port", rtcPort, "--rtc-address", "127.0.0.1", "--data-dir", dir}, flags...)...)
	s.cmd.Env = s.env
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 10 * time.Second

	mint := exec.CommandContext(ctx, binary, "token", "--room", "*", "--identity", "bench", "--name", "bench",
		"--role", "host")
	mint.Env = s.env
	token, err := mint.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", mint.Args, err)
	}
	s.token = strings.TrimSpace(string(token))

	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", errors.Join(err, s.stop()), tail(s.log.String(), 2000))
	}
	return s, nil
}

func (s *server) ready(ctx context.Context) error {
	var err error
	for range 100 {
		if err = s.call(ctx, http.MethodGet, "/readyz", "", nil); err == nil {
			return s.call(ctx, http.MethodPost, "/api/v1/rooms", `{"name": "`+room+`"}`, nil)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("not ready after 10 s: %w", err)
}

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return s.cmd.Wait()
}

func (s *server) participants(ctx context.Context) (int, error) { return s.participantsOf(ctx, room) }

func (s *server) participantsOf(ctx context.Context, name string) (int, error) {
	var view struct {
		Participants int `json:"participants"`
	}
	err := s.call(ctx, http.MethodGet, "/api/v1/rooms/"+name, "", &view)
	return view.Participants, err
}

// call asks the server something; into may be nil.
func (s *server) call(ctx context.Context, method, path, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
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
