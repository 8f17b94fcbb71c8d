// Package child starts the programs that mixdown is measured with, its own server
// among them, and ends them again whatever happens.
package child

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Patience is how long a program has to end that was asked to.
const Patience = 10 * time.Second

// Child is a program that was started and is to end when it is told.
type Child struct {
	Cmd  *exec.Cmd
	said words
	gone chan struct{}
	err  error
}

// Prepare makes a program of its own process group, so that Ctrl-C reaches only
// this one, which then ends all in order. Its words are kept, unless Cmd says
// otherwise before Start.
func Prepare(env []string, args ...string) *Child {
	c := &Child{Cmd: exec.Command(args[0], args[1:]...), gone: make(chan struct{})}
	c.Cmd.Env = env
	c.Cmd.Stdout, c.Cmd.Stderr = &c.said, &c.said
	c.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// Start starts it. Pipes to it are read to their end by who made them: after, if
// not nil, does that before the program is waited for.
func (c *Child) Start(after func()) error {
	if err := c.Cmd.Start(); err != nil {
		return err
	}
	go func() {
		if after != nil {
			after()
		}
		c.err = c.Cmd.Wait()
		close(c.gone)
	}()
	return nil
}

// Gone is closed when the program has ended.
func (c *Child) Gone() <-chan struct{} { return c.gone }

// Err is how it ended, nil if well; only for who has seen Gone closed.
func (c *Child) Err() error { return c.err }

// Stop asks the program to end, and makes it when its patience is over.
func (c *Child) Stop() {
	_ = c.Cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	c.Await()
}

// Await waits until the program has ended, and ends it when its patience is over.
func (c *Child) Await() {
	select {
	case <-c.gone:
	case <-time.After(Patience):
		_ = syscall.Kill(-c.Cmd.Process.Pid, syscall.SIGKILL)
		<-c.gone
	}
}

// Within waits until the program has ended by itself; it is stopped when ctx ends.
func (c *Child) Within(ctx context.Context) error {
	select {
	case <-c.gone:
		return c.err
	case <-ctx.Done():
		c.Stop()
		return context.Cause(ctx)
	}
}

// Tail is the last it said, on both its outputs.
func (c *Child) Tail() string { return c.said.tail() }

// Last adds to an error what the program said last.
func (c *Child) Last(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\nits last words:\n%s", err, c.Tail())
}

// words keeps what a program says.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.b.String()
	return s[max(0, len(s)-2000):]
}
