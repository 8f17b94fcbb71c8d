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
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pion/rtp"
)

// The contestants, in the order of a round.
const (
	nameServer = "server"
	nameFloor  = "floor"
	nameWire   = "wire"
	nameFFmpeg = "ffmpeg"
	nameAll    = "ffmpeg-all" // sends to everybody
	nameGst    = "gstreamer"
)

// programs are what the others need to be installed.
var programs = map[string]string{nameFFmpeg: "ffmpeg", nameAll: "ffmpeg", nameGst: "gst-launch-1.0"}

// Turn is one contestant's turn at the job.
type Turn struct {
	Who   string
	N     int
	Cores float64
	FPS   float64 // pictures a second that it made
	Note  string
}

// process is a child that is being measured.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner // of its standard output
	said  bytes.Buffer
}

func start(ctx context.Context, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.Stderr = &p.said
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// line is the next line that the child prints.
func (p *process) line() (string, error) {
	if !p.lines.Scan() {
		err := errors.Join(p.lines.Err(), p.cmd.Wait(), io.ErrUnexpectedEOF)
		return "", fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, tail(p.said.String(), 2000))
	}
	return p.lines.Text(), nil
}

// usage is that of the child while it lives.
func (p *process) usage() (usage, error) {
	u, err := readUsage(p.cmd.Process.Pid)
	if err != nil {
		return u, fmt.Errorf("%s is gone: %w\n%s", p.cmd.Path, err, tail(p.said.String(), 2000))
	}
	return u, nil
}

// end stops the child and takes the last line it prints into what, unless that
// is nil.
func (p *process) end(what any) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var last string
	for p.lines.Scan() {
		last = p.lines.Text()
	}
	err := p.cmd.Wait()
	if what == nil {
		return nil // a program that a signal ends says so
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, tail(p.said.String(), 2000))
	}
	return json.Unmarshal([]byte(last), what)
}

// sleep waits for d unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// wired is a wire with people at its far end. It runs beside every contestant
// but the server, so that all compete for the cores as a server does with its
// bots.
type wired struct {
	wire  *process
	leave context.CancelFunc
	left  chan error
}

func startWire(ctx context.Context, j *job) (*wired, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w, err := start(ctx, self, nameWire, strconv.Itoa(j.n))
	if err != nil {
		return nil, err
	}
	address, err := w.line()
	if err != nil {
		return nil, err
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		w.cmd.Process.Kill()
		return nil, err
	}
	crowded, leave := context.WithCancel(ctx)
	out := &wired{wire: w, leave: leave, left: make(chan error, 1)}
	go func() { out.left <- j.crowd(crowded, to) }()
	return out, nil
}

// end stops both ends. A wire that loses packets has not done its job.
func (w *wired) end(j *job) (done wireDone, err error) {
	w.leave()
	if err := errors.Join(<-w.left, w.wire.end(&done)); err != nil {
		return done, err
	}
	if want := int(done.Seconds * float64(j.n) * jobFPS); done.Received < want || done.Bad > 0 {
		return done, fmt.Errorf("wire of %d: %d packets received in %.1f s, %d of them bad", j.n, done.Received, done.Seconds, done.Bad)
	}
	return done, nil
}

// floorTurn measures floor and wire at the same time, each in a process of its
// own.
func floorTurn(ctx context.Context, cfg Config, j *job) (turns []Turn, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := start(ctx, self, nameFloor, strconv.Itoa(j.n))
	if err != nil {
		return nil, err
	}
	defer f.cmd.Process.Kill()
	if _, err := f.line(); err != nil {
		return nil, err
	}
	w, err := startWire(ctx, j)
	if err != nil {
		return nil, err
	}
	cores, err := window(ctx, cfg, f, w.wire)
	wire, failed := w.end(j)
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	var floor floorDone
	if err := f.end(&floor); err != nil {
		return nil, err
	}
	// A floor too slow for its one thread leaves nothing out: its cores are scaled by the
	// pictures it made, like everybody's. Starting may be late.
	events := floor.Pictures + floor.Ticks + floor.Decoded
	return []Turn{
		{Who: nameFloor, N: j.n, Cores: cores[0], FPS: float64(floor.Pictures) / floor.Seconds,
			Note: fmt.Sprintf("%.2f sound encodes a tick, %.0f kb/s, %d of %d late", float64(floor.Encodes)/float64(max(1, floor.Ticks)), float64(floor.Bytes)*8/1000/floor.Seconds, floor.Late, events)},
		{Who: nameWire, N: j.n, Cores: cores[1],
			Note: fmt.Sprintf("%.0f packets/s in, %.0f out", float64(wire.Received)/wire.Seconds, float64(wire.Sent)/wire.Seconds)},
	}, nil
}

// window lets processes settle and returns how many cores each kept busy from
// then on.
func window(ctx context.Context, cfg Config, ps ...*process) ([]float64, error) {
	if err := sleep(ctx, cfg.Settle); err != nil {
		return nil, err
	}
	before := make([]usage, len(ps))
	for i, p := range ps {
		var err error
		if before[i], err = p.usage(); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	if err := sleep(ctx, cfg.Window); err != nil {
		return nil, err
	}
	cores := make([]float64, len(ps))
	for i, p := range ps {
		after, err := p.usage()
		if err != nil {
			return nil, err
		}
		cores[i] = (after.cpu - before[i].cpu).Seconds() / time.Since(began).Seconds()
	}
	return cores, nil
}

// counter counts the pictures of an RTP stream by their marker bits.
type counter struct {
	conn     *net.UDPConn
	pictures atomic.Int64
}

func newCounter() (*counter, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	c := &counter{conn: conn}
	go func() {
		buf := make([]byte, 2000)
		var h rtp.Header
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if _, err := h.Unmarshal(buf[:n]); err == nil && h.Marker {
				c.pictures.Add(1)
			}
		}
	}()
	return c, nil
}

func (c *counter) port() string { return strconv.Itoa(c.conn.LocalAddr().(*net.UDPAddr).Port) }

// otherTurn measures another program, which reads people's streams from files.
func otherTurn(ctx context.Context, cfg Config, j *job, who string, files []string) (Turn, error) {
	t := Turn{Who: who, N: j.n}
	video, err := newCounter()
	if err != nil {
		return t, err
	}
	defer video.conn.Close()
	audio, err := newCounter()
	if err != nil {
		return t, err
	}
	defer audio.conn.Close()
	args := j.ffmpeg(files, video.port(), audio.port())
	switch who {
	case nameAll:
		args = j.ffmpegAll(files, video.port(), audio.port())
	case nameGst:
		args = j.gstreamer(files, video.port(), audio.port())
	}
	p, err := start(ctx, args...)
	if err != nil {
		return t, err
	}
	defer p.cmd.Process.Kill()
	for began := time.Now(); video.pictures.Load() == 0; {
		if time.Since(began) > 20*time.Second {
			return t, fmt.Errorf("%s: no picture after 20 s\n%s", who, tail(p.said.String(), 2000))
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return t, err
		}
	}
	w, err := startWire(ctx, j)
	if err != nil {
		return t, err
	}
	defer w.wire.cmd.Process.Kill()
	if err := sleep(ctx, cfg.Settle); err != nil {
		return t, err
	}
	settled := cfg
	settled.Settle = 0
	made, others, began := video.pictures.Load(), audio.pictures.Load(), time.Now()
	cores, err := window(ctx, settled, p)
	t.FPS = float64(video.pictures.Load()-made) / time.Since(began).Seconds()
	if who == nameAll {
		t.Note = fmt.Sprintf("and %.0f to the others", float64(audio.pictures.Load()-others)/time.Since(began).Seconds())
	}
	if _, failed := w.end(j); err != nil || failed != nil {
		return t, errors.Join(err, failed)
	}
	t.Cores = cores[0]
	return t, p.end(nil)
}

// contest measures everybody with every number of people, so that each round
// stands in one stretch of time, and hands each turn and server to the report.
func contest(ctx context.Context, cfg Config, r *Report) error {
	if len(cfg.Bots) == 0 {
		return nil
	}
	all, err := newJob(ctx, min(slices.Max(cfg.Bots), 49))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mixdown-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var files []string
	cfg.Contestants = slices.DeleteFunc(slices.Clone(cfg.Contestants), func(who string) bool {
		program := programs[who]
		if program == "" {
			return false
		}
		_, err := exec.LookPath(program)
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: leaving out %s: %v\n", who, err)
		}
		return err != nil
	})
	if slices.Contains(cfg.Contestants, nameFFmpeg) || slices.Contains(cfg.Contestants, nameAll) || slices.Contains(cfg.Contestants, nameGst) {
		seconds := int((cfg.Settle + cfg.Window).Seconds()) + 8
		for id := range all.n {
			files = append(files, filepath.Join(dir, strconv.Itoa(id)+".webm"))
			if err := all.record(files[id], id, seconds); err != nil {
				return err
			}
		}
	}
	for i := range cfg.Runs {
		for _, n := range cfg.Bots {
			j, err := newJob(ctx, n)
			if err != nil {
				return err
			}
			for _, who := range cfg.Contestants {
				var turns []Turn
				switch who {
				case nameServer:
					s, e := measure(ctx, cfg, crowdSize{Rooms: 1, Bots: n})
					if err = e; err == nil {
						r.Servers = append(r.Servers, s)
						turns = []Turn{{Who: who, N: n, Cores: s.Cores, FPS: s.FPS}}
					}
				case nameFloor:
					turns, err = floorTurn(ctx, cfg, j)
				default:
					t, e := otherTurn(ctx, cfg, j, who, files)
					turns, err = []Turn{t}, e
				}
				if err != nil {
					return fmt.Errorf("%s with %d people, run %d: %w", who, n, i+1, err)
				}
				for _, t := range turns {
					fmt.Fprintf(os.Stderr, "bench: %2d people, run %d of %d: %-9s %.3f cores, %.1f pictures/s %s\n", n, i+1, cfg.Runs, t.Who, t.Cores, t.FPS, t.Note)
					r.Turns = append(r.Turns, t)
				}
				if err := r.keep(cfg.Keep); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
