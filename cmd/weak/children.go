package main

import (
	"bufio"
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
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"mixdown/mixer"
)

const room = "weak"

// child is a program that was started and is to end when it is told.
type child struct {
	cmd  *exec.Cmd
	said lockedBuffer
	gone chan struct{}
	err  error
}

// lockedBuffer keeps the last words of a program.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.b.String()
	return s[max(0, len(s)-2000):]
}

// prepare makes a program of its own process group, so that Ctrl-C reaches
// only this one, which then ends all in order.
func prepare(env []string, args ...string) *child {
	c := &child{cmd: exec.Command(args[0], args[1:]...), gone: make(chan struct{})}
	c.cmd.Env = env
	c.cmd.Stdout, c.cmd.Stderr = &c.said, &c.said
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

func (c *child) start() error {
	if err := c.cmd.Start(); err != nil {
		return err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.gone)
	}()
	return nil
}

// stop asks the program to end, and after ten seconds makes it.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-c.gone:
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.gone
	}
}

// server is a mixdown that was started to be measured.
type server struct {
	*child
	binary string
	url    string // on this machine
	port   int
	token  string // operator's
	env    []string
	dir    string
}

// startServer starts one on all of this machine's addresses; media go to the
// given ones.
func startServer(ctx context.Context, cfg runConfig, addresses []string) (*server, error) {
	dir, err := os.MkdirTemp("", "mixdown-weak-")
	if err != nil {
		return nil, err
	}
	port, err := freePorts(cfg.Port)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &server{
		binary: cfg.Binary, url: fmt.Sprintf("http://127.0.0.1:%d", port), port: port, dir: dir,
		env: append(os.Environ(), "MIXDOWN_API_KEY=weak", "MIXDOWN_API_SECRET="+strings.Repeat("weak-", 8)),
	}
	args := []string{
		cfg.Binary, "serve", "--http-addr", fmt.Sprintf(":%d", port), "--tls", "off", "--rtc-port", strconv.Itoa(port + 1),
		"--rtc-address", strings.Join(addresses, ","), "--data-dir", dir,
	}
	if cfg.Config != "" {
		args = append(args, "--config", cfg.Config)
	}
	s.child = prepare(s.env, args...)
	mint := exec.CommandContext(ctx, cfg.Binary, "token", "--room", "*", "--identity", "weak", "--name", "weak", "--role", "host")
	mint.Env = s.env
	token, err := mint.Output()
	if err == nil {
		s.token = strings.TrimSpace(string(token))
		err = s.start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w: build it by make build", cfg.Binary, err), os.RemoveAll(dir))
	}
	for range 100 {
		if err = s.call(ctx, http.MethodGet, "/readyz", "", nil); err == nil {
			return s, nil
		}
		select {
		case <-s.gone:
			return nil, fmt.Errorf("the server ended at its start: %s", s.said.tail())
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	s.close()
	return nil, fmt.Errorf("the server is not ready after 10 s: %w: %s", err, s.said.tail())
}

func (s *server) close() {
	s.stop()
	_ = os.RemoveAll(s.dir)
}

// freePorts returns the first of two ports in a row that are free, from one on.
func freePorts(from int) (int, error) {
	for port := from; port < from+900; port += 2 {
		a, errA := net.Listen("tcp", fmt.Sprintf(":%d", port))
		b, errB := net.Listen("tcp", fmt.Sprintf(":%d", port+1))
		for _, l := range []net.Listener{a, b} {
			if l != nil {
				_ = l.Close()
			}
		}
		if errA == nil && errB == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("--port %d: no two free ports from there on", from)
}

// call asks the server something; into may be nil.
func (s *server) call(ctx context.Context, method, path, body string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
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
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, answer)
	}
	switch into := into.(type) {
	case nil:
		return nil
	case *string:
		*into = string(answer)
		return nil
	}
	return json.Unmarshal(answer, into)
}

// makeRoom makes the room and returns the key that lets people in.
func (s *server) makeRoom(ctx context.Context) (key string, err error) {
	var made struct {
		JoinKey string `json:"join_key"`
	}
	err = s.call(ctx, http.MethodPost, "/api/v1/rooms", `{"name": "`+room+`"}`, &made)
	return made.JoinKey, err
}

func (s *server) state(ctx context.Context) (st mixer.State, err error) {
	err = s.call(ctx, http.MethodGet, "/api/v1/rooms/"+room+"/state", "", &st)
	return st, err
}

// metrics are the server's, by name with labels.
type metrics map[string]float64

func (s *server) metrics(ctx context.Context) (metrics, error) {
	var text string
	if err := s.call(ctx, http.MethodGet, "/metrics", "", &text); err != nil {
		return nil, err
	}
	out := metrics{}
	for _, m := range metricLine.FindAllStringSubmatch(text, -1) {
		if v, err := strconv.ParseFloat(m[2], 64); err == nil {
			out[m[1]] = v
		}
	}
	return out, nil
}

var metricLine = regexp.MustCompile(`(?m)^(mixdown_\S+|process_cpu_seconds_total) (\S+)$`)

// sum adds up the metrics of a name whose labels hold all the given ones.
func (m metrics) sum(name string, labels ...string) (total float64) {
	for key, v := range m {
		base, rest, _ := strings.Cut(key, "{")
		fits := base == name
		for _, l := range labels {
			fits = fits && strings.Contains(rest, l)
		}
		if fits {
			total += v
		}
	}
	return total
}

// audience is the browsers: api/web/e2e/weak-client.js.
type audience struct {
	*child
	in io.WriteCloser

	mu      sync.Mutex
	next    int
	waiting map[int]chan reply
}

type reply struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
}

func startAudience(script string) (*audience, error) {
	a := &audience{child: prepare(os.Environ(), "node", script), waiting: map[int]chan reply{}}
	a.cmd.Stdout = nil
	in, err := a.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.in = in
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: make test installs Node and Chromium", err)
	}
	go func() {
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break
			}
			var r reply
			if json.Unmarshal(line, &r) != nil {
				continue
			}
			a.mu.Lock()
			c := a.waiting[r.ID]
			delete(a.waiting, r.ID)
			a.mu.Unlock()
			if c != nil {
				c <- r
			}
		}
		a.err = a.cmd.Wait()
		close(a.gone)
	}()
	return a, nil
}

// tell gives one command and waits for its answer; into may be nil.
func (a *audience) tell(ctx context.Context, cmd, who string, args map[string]any, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	answered := make(chan reply, 1)
	a.mu.Lock()
	a.next++
	id := a.next
	a.waiting[id] = answered
	line := map[string]any{"id": id, "cmd": cmd, "who": who}
	for k, v := range args {
		line[k] = v
	}
	b, err := json.Marshal(line)
	if err == nil {
		_, err = a.in.Write(append(b, '\n'))
	}
	a.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s %s: %w", cmd, who, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", cmd, who, ctx.Err())
	case <-a.gone:
		return fmt.Errorf("%s %s: the browsers' program ended: %s", cmd, who, a.said.tail())
	case r := <-answered:
		if r.Error != "" {
			return fmt.Errorf("%s %s: %s", cmd, who, r.Error)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(r.Result, into)
	}
}

// close closes the browsers.
func (a *audience) close() {
	_ = a.in.Close()
	select {
	case <-a.gone:
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(-a.cmd.Process.Pid, syscall.SIGKILL)
		<-a.gone
	}
}
