package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"mixdown/cmd/internal/child"
	"mixdown/mixer"
)

const room = "weak"

// server is a mixdown that was started to be measured.
type server struct{ *child.Server }

// startServer starts one on all of this machine's addresses; media go to the
// given ones.
func startServer(ctx context.Context, cfg runConfig, addresses []string) (*server, error) {
	var flags []string
	if cfg.Config != "" {
		flags = []string{"--config", cfg.Config}
	}
	s, err := child.StartServer(ctx, child.Config{Binary: cfg.Binary, Port: cfg.Port, Media: addresses, Flags: flags})
	if err != nil {
		return nil, err
	}
	return &server{s}, nil
}

func (s *server) state(ctx context.Context) (st mixer.State, err error) {
	err = s.Call(ctx, http.MethodGet, "/api/v1/rooms/"+room+"/state", "", &st)
	return st, err
}

// audience is the browsers: api/web/e2e/weak-client.js.
type audience struct {
	*child.Child
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
	a := &audience{Child: child.Prepare(os.Environ(), "node", script), waiting: map[int]chan reply{}}
	a.Cmd.Stdout = nil
	in, err := a.Cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := a.Cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.in = in
	if err := a.Start(func() { a.hear(out) }); err != nil {
		return nil, fmt.Errorf("%w: make test installs Node and Chromium", err)
	}
	return a, nil
}

// hear hands answers to who waits for them.
func (a *audience) hear(out io.Reader) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
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
	case <-a.Gone():
		return fmt.Errorf("%s %s: the browsers' program ended: %s", cmd, who, a.Tail())
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
	a.Await()
}
