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

// Sample is a whole server with some bots in one room.
type Sample struct {
	Bots   int
	Cores  float64 // CPU time of the server over wall time
	RSS    float64 // MB resident at the end of the window
	FPS    float64 // pictures a second that a bot receives, p50
	Kbps   float64 // kb/s that a bot receives, p50
	Loss   float64 // share of packets
	Late   float64 // packets of sound more than 60 ms after the one before, all bots
	JoinMS float64 // to the first picture, p50
	AgeMS  float64 // of tiles when a listening bot decodes them, p50 of the worst
	Age95  float64 // the same, p95
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
		Bots:   samples[0].Bots,
		Cores:  of(func(s Sample) float64 { return s.Cores }),
		RSS:    of(func(s Sample) float64 { return s.RSS }),
		FPS:    of(func(s Sample) float64 { return s.FPS }),
		Kbps:   of(func(s Sample) float64 { return s.Kbps }),
		Loss:   of(func(s Sample) float64 { return s.Loss }),
		Late:   of(func(s Sample) float64 { return s.Late }),
		JoinMS: of(func(s Sample) float64 { return s.JoinMS }),
		AgeMS:  of(func(s Sample) float64 { return s.AgeMS }),
		Age95:  of(func(s Sample) float64 { return s.Age95 }),
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

// measure starts a server and n bots, waits until all are in, and takes the
// server's CPU time over the window.
func measure(ctx context.Context, cfg Config, n int) (s Sample, err error) {
	dir, err := os.MkdirTemp("", "mixdown-bench-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	srv, err := startServer(ctx, cfg.Binary, dir)
	if err != nil {
		return s, err
	}
	defer func() {
		err = errors.Join(err, srv.stop())
		if err != nil {
			err = fmt.Errorf("%w\nthe server's last words:\n%s", err, tail(srv.log.String(), 2000))
		}
	}()

	// They count from when they are all in, and outstay the window.
	result := filepath.Join(dir, "load.json")
	bots := exec.CommandContext(ctx, cfg.Binary, "load", "--url", srv.url, "--room", room,
		"--bots", strconv.Itoa(n), "--duration", (cfg.Settle + cfg.Window + 3*time.Second).String(), "--json", result)
	bots.Env = srv.env
	bots.Cancel = func() error { return bots.Process.Signal(syscall.SIGTERM) }
	bots.WaitDelay = 10 * time.Second
	var said bytes.Buffer
	bots.Stdout, bots.Stderr = &said, &said
	if err := bots.Start(); err != nil {
		return s, err
	}
	left := make(chan error, 1)
	go func() { left <- bots.Wait() }()

	cores, rss, err := srv.watch(ctx, cfg, n, left)
	if err != nil {
		_ = bots.Cancel()
		<-left
		return s, fmt.Errorf("%w\nthe bots' last words:\n%s", err, tail(said.String(), 2000))
	}
	if err := <-left; err != nil {
		return s, fmt.Errorf("load: %w\n%s", err, tail(said.String(), 2000))
	}
	s, err = readLoad(result)
	s.Bots, s.Cores, s.RSS = n, cores, rss
	return s, err
}

// watch waits until n bots are in and have settled, and returns how many cores
// the server kept busy in the window from then on, and the MB it holds at its
// end. left tells that the bots have gone.
func (s *server) watch(ctx context.Context, cfg Config, n int, left <-chan error) (cores, rss float64, err error) {
	pause := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-left:
			return fmt.Errorf("the bots left early: %w", errors.Join(err, errors.New("load ended")))
		case <-time.After(d):
			return nil
		}
	}
	deadline := time.Now().Add(2 * time.Minute) // the first run makes the bots' clips
	for {
		in, err := s.participants(ctx)
		if err != nil {
			return 0, 0, err
		}
		if in >= n {
			break
		}
		if time.Now().After(deadline) {
			return 0, 0, fmt.Errorf("only %d of %d bots came in", in, n)
		}
		if err := pause(100 * time.Millisecond); err != nil {
			return 0, 0, err
		}
	}
	if err := pause(cfg.Settle); err != nil {
		return 0, 0, err
	}
	before, err := readUsage(s.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := pause(cfg.Window); err != nil {
		return 0, 0, err
	}
	after, err := readUsage(s.cmd.Process.Pid)
	took := time.Since(start)
	return (after.cpu - before.cpu).Seconds() / took.Seconds(), after.rss, err
}

func startServer(ctx context.Context, binary, dir string) (*server, error) {
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
	s.cmd = exec.CommandContext(ctx, binary, "serve", "--http-addr", "127.0.0.1:"+httpPort, "--tls", "off",
		"--rtc-port", rtcPort, "--rtc-address", "127.0.0.1", "--data-dir", dir)
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

func (s *server) participants(ctx context.Context) (int, error) {
	var view struct {
		Participants int `json:"participants"`
	}
	err := s.call(ctx, http.MethodGet, "/api/v1/rooms/"+room, "", &view)
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
