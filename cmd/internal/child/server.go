package child

import (
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
	"time"
)

// Key is the API key of all servers started here, and Secret its secret.
const (
	Key    = "measured"
	Secret = "measured-measured-measured-measured-"
)

// Config is how a server is started.
type Config struct {
	Binary string   // mixdown's
	Port   int      // the first to be tried; media have the one after it; 26000 if 0
	Host   string   // that HTTP listens on; all of the machine's addresses if empty
	Media  []string // addresses that media come to; 127.0.0.1 if none
	Flags  []string // more, of `mixdown serve`
}

// Server is a mixdown that was started to be measured.
type Server struct {
	*Child
	URL  string // on this machine
	Port int
	Env  []string // for its other commands

	token string // operator's
	dir   string
}

// StartServer starts one with a data directory of its own and returns when it is
// ready.
func StartServer(ctx context.Context, cfg Config) (s *Server, err error) {
	if cfg.Port == 0 {
		cfg.Port = 26000
	}
	if len(cfg.Media) == 0 {
		cfg.Media = []string{"127.0.0.1"}
	}
	port, err := freePorts(cfg.Port)
	if err != nil {
		return nil, err
	}
	s = &Server{
		URL: fmt.Sprintf("http://127.0.0.1:%d", port), Port: port,
		Env: append(os.Environ(), "MIXDOWN_API_KEY="+Key, "MIXDOWN_API_SECRET="+Secret),
	}
	dir, err := os.MkdirTemp("", "mixdown-measured-")
	if err != nil {
		return nil, err
	}
	s.dir = dir
	defer func() {
		if err != nil { // and s is nil
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	mint := exec.CommandContext(ctx, cfg.Binary, "token", "--room", "*", "--identity", "operator", "--name", "operator", "--role", "host")
	mint.Env = s.Env
	token, err := mint.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w: build it by make build", mint.Args, err)
	}
	s.token = strings.TrimSpace(string(token))
	s.Child = Prepare(s.Env, append([]string{
		cfg.Binary, "serve", "--http-addr", net.JoinHostPort(cfg.Host, strconv.Itoa(port)), "--tls", "off", "--rtc-port", strconv.Itoa(port + 1),
		"--rtc-address", strings.Join(cfg.Media, ","), "--data-dir", s.dir,
	}, cfg.Flags...)...)
	if err = s.Start(nil); err != nil {
		return nil, err
	}
	if err = s.ready(ctx); err != nil {
		s.Stop()
		return nil, s.Last(err)
	}
	return s, nil
}

func (s *Server) ready(ctx context.Context) (err error) {
	for range 100 {
		if err = s.Call(ctx, http.MethodGet, "/readyz", "", nil); err == nil {
			return nil
		}
		select {
		case <-s.Gone():
			return errors.New("the server ended at its start")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server is not ready after 10 s: %w", err)
}

// Close stops the server and removes its data. The error tells what it said last,
// if it did not end well.
func (s *Server) Close() error {
	s.Stop()
	return errors.Join(s.Last(s.Err()), os.RemoveAll(s.dir))
}

// Offer offers an SDP as somebody who is not in the room yet, and returns the answer's
// status and header.
func (s *Server) Offer(ctx context.Context, room, sdp string) (int, http.Header, error) {
	resp, err := s.ask(ctx, http.MethodPost, "/whip/"+room, "application/sdp", sdp)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header, nil
}

// ask asks as an operator.
func (s *Server) ask(ctx context.Context, method, path, kind, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if body != "" {
		req.Header.Set("Content-Type", kind)
	}
	return http.DefaultClient.Do(req)
}

// Call asks the server something. Its answer goes into into: as text into a
// *string, as JSON into anything else; nil for who does not want it.
func (s *Server) Call(ctx context.Context, method, path, body string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := s.ask(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
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

// MakeRoom makes a room and returns the key that lets people in.
func (s *Server) MakeRoom(ctx context.Context, name string) (key string, err error) {
	var made struct {
		JoinKey string `json:"join_key"`
	}
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	err = s.Call(ctx, http.MethodPost, "/api/v1/rooms", string(body), &made)
	return made.JoinKey, err
}

// Metrics are a server's, by name with labels.
type Metrics map[string]float64

var metricLine = regexp.MustCompile(`(?m)^([a-z]\S+) (\S+)$`)

// Metrics reads them.
func (s *Server) Metrics(ctx context.Context) (Metrics, error) {
	var text string
	if err := s.Call(ctx, http.MethodGet, "/metrics", "", &text); err != nil {
		return nil, err
	}
	out := Metrics{}
	for _, m := range metricLine.FindAllStringSubmatch(text, -1) {
		if v, err := strconv.ParseFloat(m[2], 64); err == nil {
			out[m[1]] = v
		}
	}
	return out, nil
}

// Sum adds up the metrics of a name whose labels hold all the given ones.
func (m Metrics) Sum(name string, labels ...string) (total float64) {
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

// freePorts returns the first of two ports in a row that TCP has free, from one
// on; the server takes the same numbers in UDP.
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
	return 0, fmt.Errorf("no two free ports from %d on", from)
}
