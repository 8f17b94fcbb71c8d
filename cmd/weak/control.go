package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"mixdown/cmd/weak/link"
)

// linkCommand is `weak link`.
type linkCommand struct {
	Paths     int    `help:"Addresses that the client can move between (${default})." default:"1" placeholder:"N"`
	IPv6Only  bool   `name:"ipv6-only" help:"The client has no IPv4."`
	NATClient bool   `name:"nat-client" help:"Put an address translator before the client."`
	NATServer []int  `name:"nat-server" help:"Put one before this machine that hands these ports on, TCP and UDP." placeholder:"PORT"`
	Seed      uint64 `help:"Of what is random (${default})." default:"1" placeholder:"N"`
	Script    string `help:"Lines to obey first, with semicolons between."`
}

// Run opens the link and obeys until the input ends.
func (c *linkCommand) Run(ctx context.Context) (err error) {
	l, err := link.Open(ctx, link.Config{Paths: c.Paths, IPv6Only: c.IPv6Only, NATClient: c.NATClient, NATServer: c.NATServer, Seed: c.Seed})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	control := &control{link: l, out: json.NewEncoder(os.Stdout)}
	if err := control.out.Encode(control.hello()); err != nil {
		return err
	}
	lines := strings.NewReader(strings.ReplaceAll(c.Script, ";", "\n"))
	return control.obey(ctx, io.MultiReader(lines, strings.NewReader("\n"), os.Stdin))
}

// control answers lines.
type control struct {
	link   *link.Link
	out    *json.Encoder
	before [2]link.Counters
}

// answer is one line out.
type answer struct {
	OK        bool         `json:"ok"`
	Error     string       `json:"error,omitempty"`
	Namespace string       `json:"namespace,omitempty"`
	Server    []netip.Addr `json:"server,omitempty"`
	Client    []netip.Addr `json:"client,omitempty"`
	Up        *laneAnswer  `json:"up,omitempty"`
	Down      *laneAnswer  `json:"down,omitempty"`
}

// laneAnswer is one direction in an answer.
type laneAnswer struct {
	PacketsIn  int64   `json:"packets_in"`
	BytesIn    int64   `json:"bytes_in"`
	PacketsOut int64   `json:"packets_out"`
	BytesOut   int64   `json:"bytes_out"`
	Lost       int64   `json:"lost"`
	Dropped    int64   `json:"dropped"`
	Blocked    int64   `json:"blocked"`
	Cut        int64   `json:"cut"`
	Waiting    int     `json:"waiting"` // bytes
	WaitP50    float64 `json:"wait_p50_ms"`
	WaitP95    float64 `json:"wait_p95_ms"`
	WaitMax    float64 `json:"wait_max_ms"`
	Shape      string  `json:"shape"`
}

func (c *control) hello() answer {
	return answer{OK: true, Namespace: c.link.Namespace(), Server: c.link.Server(), Client: c.link.Client()}
}

// obey goes on until the lines or ctx end.
func (c *control) obey(ctx context.Context, from io.Reader) error {
	lines := make(chan string)
	go func() { // ends with the process, if the input does not
		defer close(lines)
		for s := bufio.NewScanner(from); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			words := strings.Fields(line)
			if len(words) == 0 {
				continue
			}
			a, err := c.do(ctx, words)
			if a.OK = err == nil; err != nil {
				a = answer{Error: err.Error()}
			}
			if err := c.out.Encode(a); err != nil {
				return err
			}
		}
	}
}

// do obeys one line.
func (c *control) do(ctx context.Context, words []string) (a answer, err error) {
	verb, rest := words[0], words[1:]
	switch verb {
	case "up":
		return a, c.change(link.Up, rest)
	case "down":
		return a, c.change(link.Down, rest)
	case "both":
		return a, errors.Join(c.change(link.Up, rest), c.change(link.Down, rest))
	case "cut":
		c.link.Cut(true)
	case "restore":
		c.link.Cut(false)
	case "outage", "sleep":
		if len(rest) != 1 {
			return a, fmt.Errorf("want %s DURATION, such as %s 20s", verb, verb)
		}
		d, err := time.ParseDuration(rest[0])
		if err != nil {
			return a, err
		}
		if verb == "outage" {
			return a, c.link.Outage(ctx, d)
		}
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	case "move":
		if err := c.link.Move(ctx); err != nil {
			return a, err
		}
		return c.hello(), nil
	case "stats":
		a.Up, a.Down = c.lane(link.Up), c.lane(link.Down)
	default:
		return a, fmt.Errorf("%q: no such line; there are up, down, both, outage, cut, restore, move, sleep and stats", verb)
	}
	return a, nil
}

func (c *control) change(d link.Direction, words []string) error {
	s, err := c.link.Shape(d).Change(words)
	if err != nil {
		return err
	}
	return c.link.Set(d, s)
}

func (c *control) lane(d link.Direction) *laneAnswer {
	now := c.link.Counters(d)
	last := now.Since(c.before[d])
	c.before[d] = now
	return &laneAnswer{
		now.InPackets, now.InBytes, now.OutPackets, now.OutBytes, now.Lost, now.Dropped, now.Blocked, now.Cut, now.Waiting,
		millis(last.Wait(0.5)), millis(last.Wait(0.95)), millis(last.Wait(1)), c.link.Shape(d).String(),
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
