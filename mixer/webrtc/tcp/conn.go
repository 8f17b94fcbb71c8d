// Package tcp sends media over TCP connections that may be slower than what
// is to be sent. A Conn never blocks its writer: it holds little, lets sound
// go first, and drops whole pictures.
//
//	Write ─▶ control ─┐
//	      ─▶ sound   ─┼─▶ one goroutine ─▶ TCP, or TLS over it
//	      ─▶ pictures ┘
package tcp

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Backlog is how much of a stream may wait: more would only be old. The
	// largest picture in the queue does not count, or no keyframe would ever fit
	// into the queue of a slow link.
	Backlog = 200 * time.Millisecond

	// PacedBacklog is the same for a stream whose sender sees the queue by what
	// comes back, and sends less: what is dropped before it does costs a keyframe.
	PacedBacklog = time.Second

	maxPictures = 512 << 10        // bytes, the largest picture included
	maxSounds   = 64               // messages; they are also never older than Backlog
	maxControl  = 64               // messages of STUN, DTLS and RTCP
	minBacklog  = 3000             // bytes: two packets
	stall       = 30 * time.Second // a client that takes nothing for so long is gone

	// Of what waits, the kernel holds this much, where it stands before the sound.
	unsentTime           = 50 * time.Millisecond
	unsentMin, unsentMax = 1500, 16 << 10

	// Who keeps to the pace that the way is found to carry has no use for a kernel that finds
	// out by itself: BBR lets through little more than it was used to (ProbeBW), and for 200 ms in
	// ten seconds four packets a round trip (ProbeRTT, draft-cardwell-iccrg-bbr-congestion-control);
	// CUBIC ends its slow start at a short queue (RFC 9406). All of that looks like a queue of the
	// way's whenever more is tried. Reno doubles what it lets through until something is lost, and
	// every kernel has it (tcp(7)).
	pacedControl = "reno"

	defaultBitrate = 500_000 // of a stream nobody knows
)

// Stream is what is known of an RTP stream by its SSRC.
type Stream struct {
	Sound   bool
	Bitrate int  // bit/s
	Paced   bool // at the pace that the way is found to carry
}

// Counter is a metric.
type Counter interface{ Add(float64) }

// Options say how a connection's messages are read and counted.
type Options struct {
	// Packet takes the packet (SRTP, SRTCP, STUN, DTLS) out of a message as it is
	// written, nil if there is none in it.
	Packet func(message []byte) []byte
	// Stream tells what an SSRC is. It must not block.
	Stream func(ssrc uint32) (Stream, bool)
	// What was dropped: pictures, packets of sound, other messages.
	Pictures, Sounds, Control Counter
}

// congested is the error of a Write that dropped a packet of a picture. pion's
// ICE passes on nothing but a closed pipe, so it passes for one: whoever sends
// has to learn that the picture is broken.
type congested struct{}

func (congested) Error() string        { return "TCP connection is congested, picture dropped" }
func (congested) Is(target error) bool { return target == io.ErrClosedPipe }

// ErrCongested is returned for each packet of a picture that is dropped.
var ErrCongested error = congested{}

// Conn is a connection with queues of its own. Each Write is one message, which
// is sent whole, later, or not at all.
type Conn struct {
	net.Conn
	opt  Options
	wake chan struct{}
	done chan struct{} // closed when the writing goroutine has ended

	mu       sync.Mutex
	closed   bool
	control  [][]byte
	sounds   []sound
	pictures []picture // oldest first
	bytes    int       // of all pictures
	newest   frameID
	refusing bool // the newest one
	streams  map[uint32]known
	unsent   int    // what the kernel was told to hold
	paced    bool   // its congestion control is the one for paced streams
	usual    string // and was this one
}

type sound struct {
	message []byte
	at      time.Time
}

// picture is what is left to send of one frame.
type picture struct {
	id       frameID
	messages [][]byte
	bytes    int
}

type frameID struct{ ssrc, timestamp uint32 }

type known struct {
	Stream
	at time.Time
}

const (
	reask      = time.Second // how often a stream's bit rate is looked up
	maxStreams = 16
)

// New takes over a connection. Reads go to it as they are.
func New(c net.Conn, opt Options) *Conn {
	t := &Conn{Conn: c, opt: opt, wake: make(chan struct{}, 1), done: make(chan struct{}), streams: make(map[uint32]known)}
	t.hold(unsentMax)
	go t.run()
	return t
}

// Write queues one message. It does not keep b and never blocks.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, io.ErrClosedPipe
	}
	now := time.Now()
	ssrc, timestamp, media := parseRTP(c.opt.Packet(b))
	switch {
	case !media:
		if len(c.control) == maxControl {
			c.opt.Control.Add(1)
			return len(b), nil // it is repeated, or out of date
		}
		c.control = append(c.control, append([]byte(nil), b...))
	default:
		s := c.stream(ssrc, now)
		if s.Sound {
			c.addSound(b, now)
		} else if err := c.addPicture(b, frameID{ssrc, timestamp}, s); err != nil {
			return 0, err
		}
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return len(b), nil
}

// addSound drops the oldest: of sound the newest counts.
func (c *Conn) addSound(b []byte, now time.Time) {
	old := 0
	for old < len(c.sounds) && (now.Sub(c.sounds[old].at) > Backlog || len(c.sounds)-old >= maxSounds) {
		old++
	}
	if old > 0 {
		c.opt.Sounds.Add(float64(old))
		n := copy(c.sounds, c.sounds[old:])
		clear(c.sounds[n:])
		c.sounds = c.sounds[:n]
	}
	c.sounds = append(c.sounds, sound{append([]byte(nil), b...), now})
}

// addPicture admits or refuses a picture at its first packet, whole.
func (c *Conn) addPicture(b []byte, id frameID, s Stream) error {
	again := id.ssrc == c.newest.ssrc && int32(id.timestamp-c.newest.timestamp) < 0 // sent again (RFC 4585)
	backlog := Backlog
	if s.Paced {
		backlog = PacedBacklog
	}
	limit := max(s.Bitrate/8*int(backlog/time.Millisecond)/1000, minBacklog)
	if id != c.newest && !again {
		c.newest = id
		c.refusing = c.backlog() > limit
		if c.refusing {
			c.opt.Pictures.Add(1)
		}
	}
	switch {
	case again && c.backlog() > limit:
		return ErrCongested
	case !again && c.refusing:
		return ErrCongested
	case c.bytes+len(b) > maxPictures:
		if !again {
			c.refusing = true
			c.forget(id)
			c.opt.Pictures.Add(1)
		}
		return ErrCongested
	}
	n := len(c.pictures)
	if n == 0 || c.pictures[n-1].id != id {
		c.pictures = append(c.pictures, picture{id: id})
		n++
	}
	p := &c.pictures[n-1]
	p.messages = append(p.messages, append([]byte(nil), b...))
	p.bytes += len(b)
	c.bytes += len(b)
	return nil
}

// backlog is what waits of all pictures but the largest.
func (c *Conn) backlog() int {
	largest := 0
	for i := range c.pictures {
		largest = max(largest, c.pictures[i].bytes)
	}
	return c.bytes - largest
}

// forget takes what is left of a picture out of the queue.
func (c *Conn) forget(id frameID) {
	n := 0
	for _, p := range c.pictures {
		if p.id == id {
			c.bytes -= p.bytes
			continue
		}
		c.pictures[n] = p
		n++
	}
	clear(c.pictures[n:])
	c.pictures = c.pictures[:n]
}

// stream tells what an SSRC is, as it was at most reask ago.
func (c *Conn) stream(ssrc uint32, now time.Time) Stream {
	if k, ok := c.streams[ssrc]; ok && now.Sub(k.at) < reask {
		return k.Stream
	}
	s, ok := c.opt.Stream(ssrc)
	if !ok || s.Bitrate <= 0 {
		s.Bitrate = defaultBitrate
	}
	if len(c.streams) >= maxStreams {
		clear(c.streams)
	}
	c.streams[ssrc] = known{s, now}
	if !s.Sound {
		c.hold(s.Bitrate / 8 * int(unsentTime/time.Millisecond) / 1000)
		c.yield(s.Paced)
	}
	return s
}

// hold tells the kernel how much it may take that it cannot send yet.
func (c *Conn) hold(unsent int) {
	unsent = min(max(unsent, unsentMin), unsentMax)
	if unsent == c.unsent {
		return
	}
	c.unsent = unsent
	c.socket(func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	})
}

// yield has the kernel's congestion control give way to the sender's, or act again.
func (c *Conn) yield(paced bool) {
	if paced == c.paced {
		return
	}
	c.paced = paced
	c.socket(func(fd int) {
		name := c.usual
		if paced {
			c.usual, _ = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
			name = pacedControl
		}
		_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	})
}

// socket does something to the kernel's end of the connection.
func (c *Conn) socket(do func(fd int)) {
	raw, ok := Raw(c.Conn).(syscall.Conn)
	if !ok {
		return
	}
	if rc, err := raw.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { do(int(fd)) })
	}
}

// Raw returns the connection below TLS and the like.
func Raw(c net.Conn) net.Conn {
	for {
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = below.NetConn()
	}
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// next takes what goes out next.
func (c *Conn) next() (message []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	switch {
	case len(c.control) > 0:
		message = c.control[0]
		c.control = shift(c.control)
	case len(c.sounds) > 0:
		message = c.sounds[0].message
		c.sounds = shift(c.sounds)
	case len(c.pictures) > 0:
		p := &c.pictures[0]
		message = p.messages[0]
		p.messages = p.messages[1:]
		p.bytes -= len(message)
		c.bytes -= len(message)
		if len(p.messages) == 0 {
			c.pictures = shift(c.pictures)
		}
	}
	return message, true
}

// shift drops the first element and keeps the array.
func shift[T any](s []T) []T {
	n := copy(s, s[1:])
	clear(s[n:])
	return s[:n]
}

func (c *Conn) run() {
	defer close(c.done)
	for {
		message, ok := c.next()
		if !ok {
			return
		}
		if message == nil {
			<-c.wake
			continue
		}
		_ = c.SetWriteDeadline(time.Now().Add(stall))
		if _, err := c.Conn.Write(message); err != nil {
			c.end() // half a message: the framing is lost
			return
		}
	}
}

// end closes without waiting and reports whether it was the first.
func (c *Conn) end() error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.control, c.sounds, c.pictures = nil, nil, nil
	c.bytes = 0
	c.mu.Unlock()
	if was {
		return nil
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
	// Not c.Conn: closing TLS would wait for a writer that waits for the client.
	err := Raw(c.Conn).Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close drops what waits, closes the connection and ends the goroutine. It may
// be called twice.
func (c *Conn) Close() error {
	err := c.end()
	<-c.done
	return err
}

// Waiting returns how many bytes are queued.
func (c *Conn) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.bytes
	for _, m := range c.control {
		n += len(m)
	}
	for _, s := range c.sounds {
		n += len(s.message)
	}
	return n
}
