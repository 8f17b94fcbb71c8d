// Package link is a bad network between this machine and a network namespace:
// TUN devices on both sides, and a relay between them that shapes each direction
// by a Shaper. A browser in the namespace notices nothing but the network.
//
//	namespace                     this process                    this machine
//	Chromium ── TUN ── up ──▶ Shaper: queue, rate, loss, delay ──▶ TUN ── server
//	              ◀── down ── Shaper ◀──────────────────────────────
//
// It needs root, iproute2, the kernel's tun driver, and nftables for NAT.
package link

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config is what a link is made of. Shapes can be changed later.
type Config struct {
	Up, Down  Shape // from and to the namespace
	Seed      uint64
	Paths     int   // addresses that the client can move between; 0 is 1
	IPv6Only  bool  // the client has no IPv4
	NATClient bool  // an address translator before the client, which then has no IPv6
	NATServer []int // one before this machine, which hands these ports on, TCP and UDP
}

// Direction is one of a link's two.
type Direction int

const (
	Up   Direction = iota // from the namespace to this machine
	Down                  // to the namespace
)

// Link is an open link. All its methods may be called from any goroutine.
type Link struct {
	cfg     Config
	network *network
	server  *os.File
	clients []*os.File
	lanes   [2]*lane
	running sync.WaitGroup

	mu     sync.Mutex // held while addresses change
	active int
	once   sync.Once
	err    error // of Close
}

// lane is a Shaper on the machine's clock.
type lane struct {
	mu     sync.Mutex
	shaper *Shaper
	wake   chan struct{}
	closed chan struct{}
}

// Open makes the namespaces and starts the relay. Close takes them down.
func Open(ctx context.Context, cfg Config) (l *Link, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("an emulated link needs root, for network namespaces and TUN devices: run it by sudo")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, fmt.Errorf("%w: scripts/setup.sh test installs iproute2", err)
	}
	if cfg.IPv6Only && (cfg.NATClient || len(cfg.NATServer) > 0) {
		return nil, errors.New("NAT is for IPv4, a client with IPv6 only has none")
	}
	if err := errors.Join(cfg.Up.Validate(), cfg.Down.Validate(), sweep(ctx)); err != nil {
		return nil, err
	}
	cfg.Paths = max(1, cfg.Paths)
	l = &Link{cfg: cfg}
	for d, s := range []Shape{cfg.Up, cfg.Down} {
		l.lanes[d] = &lane{shaper: NewShaper(s, cfg.Seed*2+uint64(d)), wake: make(chan struct{}, 1), closed: make(chan struct{})}
	}
	if l.network, err = newNetwork(); err != nil {
		return nil, err
	}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.running.Go(func() { l.lanes[Down].read(l.server) })
	l.running.Go(func() { l.lanes[Down].write(l.toClient) })
	l.running.Go(func() { l.lanes[Up].write(l.toServer) })
	for _, f := range l.clients {
		l.running.Go(func() { l.lanes[Up].read(f) })
	}
	return l, nil
}

func (l *Link) build(ctx context.Context) (err error) {
	w := l.network
	if err := w.build(ctx, l.cfg); err != nil {
		return err
	}
	if l.server, err = openTUN(w.serverDevice()); err != nil {
		return err
	}
	if err := w.attachServer(ctx); err != nil {
		return err
	}
	for i := range l.cfg.Paths {
		f, err := openTUN(w.device(i))
		if err != nil {
			return err
		}
		l.clients = append(l.clients, f)
		if err := w.attachClient(ctx, i); err != nil {
			return err
		}
	}
	return w.up(ctx, 0, l.cfg)
}

// Namespace is where clients are to run: ip netns exec NAME PROGRAM.
func (l *Link) Namespace() string { return l.network.client }

// Server returns the addresses by which clients reach this machine, IPv4 first.
func (l *Link) Server() []netip.Addr {
	four, six := netip.MustParseAddr(l.network.server4()), netip.MustParseAddr(l.network.server6())
	switch {
	case l.cfg.IPv6Only:
		return []netip.Addr{six}
	case l.cfg.NATClient || len(l.cfg.NATServer) > 0:
		return []netip.Addr{four}
	}
	return []netip.Addr{four, six}
}

// Client returns the client's addresses now, as this machine sees them.
func (l *Link) Client() []netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	four, six := netip.MustParseAddr(l.network.client4(l.active)), netip.MustParseAddr(l.network.client6(l.active))
	switch {
	case l.cfg.IPv6Only:
		return []netip.Addr{six}
	case l.cfg.NATClient:
		return []netip.Addr{four}
	}
	return []netip.Addr{four, six}
}

// Set changes what a direction does from now on.
func (l *Link) Set(d Direction, s Shape) error {
	if err := s.Validate(); err != nil {
		return err
	}
	l.lanes[d].set(func(Shape) Shape { return s })
	return nil
}

// Shape returns what a direction does now.
func (l *Link) Shape(d Direction) Shape {
	p := l.lanes[d]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shaper.Shape()
}

// Cut ends all traffic, or lets it go on.
func (l *Link) Cut(cut bool) {
	for _, p := range l.lanes {
		p.set(func(s Shape) Shape { s.Cut = cut; return s })
	}
}

// Outage cuts the link for a while, and returns when it is back.
func (l *Link) Outage(ctx context.Context, d time.Duration) error {
	l.Cut(true)
	defer l.Cut(false)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Move takes the client's address away and gives it the next one, as when a
// phone leaves a Wi-Fi and goes on by mobile. With NAT before the client it is
// the translator's address that changes.
func (l *Link) Move(ctx context.Context) error {
	if l.cfg.Paths < 2 {
		return errors.New("the link was opened with one path only")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.network.down(ctx, l.active); err != nil {
		return err
	}
	l.active = (l.active + 1) % l.cfg.Paths
	return l.network.up(ctx, l.active, l.cfg)
}

// Counters returns what has passed in a direction up to now.
func (l *Link) Counters(d Direction) Counters {
	p := l.lanes[d]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shaper.Counters(time.Now())
}

// Close ends what runs in the namespace, and takes all down. It may be called twice.
func (l *Link) Close() error {
	l.once.Do(func() {
		for _, p := range l.lanes {
			close(p.closed)
		}
		for _, f := range append(l.clients, l.server) {
			if f != nil {
				l.err = errors.Join(l.err, f.Close())
			}
		}
		l.running.Wait()
		l.err = errors.Join(l.err, l.network.destroy())
	})
	return l.err
}

// toServer writes a packet that has come through.
func (l *Link) toServer(packet []byte) error {
	_, err := l.server.Write(packet)
	return err
}

// toClient writes a packet to the device that has the address it is for.
func (l *Link) toClient(packet []byte) error {
	h, ok := parse(packet)
	if !ok {
		return nil
	}
	i := int(h.target[len(h.target)-1]) - 10
	if h.version == 6 {
		i -= 6
	}
	if i < 0 || i >= len(l.clients) {
		return nil // for nobody
	}
	_, err := l.clients[i].Write(packet)
	return err
}

func (p *lane) set(change func(Shape) Shape) {
	p.mu.Lock()
	p.shaper.Set(time.Now(), change(p.shaper.Shape()))
	p.mu.Unlock()
	p.stir()
}

// stir makes write look again.
func (p *lane) stir() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// read takes packets from a device until it is closed.
func (p *lane) read(f *os.File) {
	prefer()
	buf := make([]byte, 1<<16)
	for {
		n, err := f.Read(buf)
		switch {
		case errors.Is(err, fs.ErrClosed):
			return
		case err != nil: // EIO while the device is down
			select {
			case <-p.closed:
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		p.mu.Lock()
		p.shaper.Push(time.Now(), append([]byte(nil), buf[:n]...))
		p.mu.Unlock()
		p.stir()
	}
}

// write hands packets over when they are due, until the link is closed.
func (p *lane) write(to func([]byte) error) {
	prefer()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for {
			p.mu.Lock()
			packet, ok := p.shaper.Pop(time.Now())
			p.mu.Unlock()
			if !ok {
				break
			}
			_ = to(packet) // a device that is down takes nothing, as no radio does
		}
		p.mu.Lock()
		next, ok := p.shaper.Next()
		p.mu.Unlock()
		if ok {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
		select {
		case <-p.closed:
			return
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// prefer gives the goroutine a thread ahead of the others: on a busy machine
// the link would jitter by itself. What this process starts does not inherit it.
func prefer() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -15)
}
