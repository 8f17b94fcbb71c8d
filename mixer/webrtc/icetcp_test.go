package webrtc

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v3"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mixdown/mixer"
	"mixdown/mixer/webrtc/tcp"
)

func onlyTCP(s *webrtc.SettingEngine) {
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
}

// valve forwards one TCP port to another until it is shut: then it reads from
// nobody, and soon nobody can write.
type valve struct {
	l      *net.TCPListener
	target int
	shut   atomic.Bool
	once   sync.Once
	open   chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  []net.Conn
}

func newValve(t *testing.T, target int) *valve {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	v := &valve{l: l, target: target, open: make(chan struct{})}
	v.wg.Go(func() {
		for {
			in, err := l.AcceptTCP()
			if err != nil {
				return
			}
			out, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: target})
			if err != nil {
				_ = in.Close()
				continue
			}
			_ = out.SetReadBuffer(4096) // the kernel is to hold little of what the client leaves
			v.mu.Lock()
			v.conns = append(v.conns, in, out)
			v.mu.Unlock()
			v.wg.Go(func() { v.copy(in, out) })
			v.wg.Go(func() { v.copy(out, in) })
		}
	})
	t.Cleanup(v.close)
	return v
}

func (v *valve) copy(to, from net.Conn) {
	b := make([]byte, 1024)
	for {
		if v.shut.Load() {
			<-v.open
		}
		n, err := from.Read(b)
		if err != nil {
			_ = to.Close()
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			_ = from.Close()
			return
		}
	}
}

func (v *valve) reopen() {
	v.once.Do(func() { v.shut.Store(false); close(v.open) })
}

func (v *valve) close() {
	v.reopen()
	_ = v.l.Close()
	v.mu.Lock()
	for _, c := range v.conns {
		_ = c.Close()
	}
	v.mu.Unlock()
	v.wg.Wait()
}

func (v *valve) port() int { return v.l.Addr().(*net.TCPAddr).Port }

// throughPort leaves only the TCP candidates of loopback in an answer, and
// names another port in them.
func throughPort(a mixer.Answer, port int) mixer.Answer {
	var sdp strings.Builder
	for _, l := range strings.SplitAfter(a.SDP, "\r\n") {
		if strings.HasPrefix(l, "a=candidate") {
			f := strings.Fields(l)
			if f[2] != "tcp" || f[4] != "127.0.0.1" {
				continue
			}
			f[5] = strconv.Itoa(port)
			l = strings.Join(f, " ") + "\r\n"
		}
		sdp.WriteString(l)
	}
	a.SDP = sdp.String()
	return a
}

// TestTCPClientStopsReading: it costs its own buffers, the others see all.
func TestTCPClientStopsReading(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	v := newValve(t, tr.Port())

	slow := newClient(t, clientConfig{receive: true, setting: onlyTCP})
	a, err := tr.Offer(t.Context(), viewer, slow.offer())
	if err != nil {
		t.Fatal(err)
	}
	slow.accept(throughPort(a, v.port()))
	wait(t, slow.up, "connection over TCP")
	stuck := wait(t, rooms.subs, "subscription")

	other := viewer
	other.Identity.ID = "other"
	fast := newClient(t, clientConfig{receive: true})
	fast.join(tr, other)
	free := wait(t, rooms.subs, "subscription")

	v.shut.Store(true)
	pk := new(fakePacketizer)
	const frames, size = 600, 5000 // 3 MB: more than all kernels' buffers on the way hold
	for i := range uint32(frames) {
		// The room asks its encoder for a keyframe when somebody needs one.
		pic := picture(tr.codecs[0], pk, 1, i*3000, i%30 == 0, size)
		stuck.sink.WriteVideo(pic)
		free.sink.WriteVideo(pic)
		sound := &mixer.Packet{Codec: tr.codecs[1], Payload: make([]byte, 80), Timestamp: i * 960, Time: time.Now()}
		stuck.sink.WriteAudio(sound)
		free.sink.WriteAudio(sound)
		for range len(pic) {
			wait(t, fast.rtp, "picture of the free client")
		}
		wait(t, fast.sound, "sound of the free client")
	}
	tr.sockets.tcpl.mu.Lock()
	waiting, conns := 0, len(tr.sockets.tcpl.conns)
	for c := range tr.sockets.tcpl.conns {
		waiting += c.Waiting()
	}
	tr.sockets.tcpl.mu.Unlock()
	// 200 ms at the 300 kbit/s of the tier, the largest picture, the one that went
	// over the limit, and sound; all with headers.
	const most = 300_000/8/5 + 2*(size+300) + 64*200 + 4000
	if conns == 0 || waiting > most {
		t.Errorf("%d connections hold %d bytes, at most %d", conns, waiting, most)
	}
	if n := testutil.ToFloat64(tr.meter.tcpPictures); n < 5 {
		t.Errorf("%v pictures refused by the connection", n)
	}
	if n := testutil.ToFloat64(tr.meter.dropKey); n < frames/4 {
		t.Errorf("%v pictures withheld until a keyframe of %d", n, frames)
	}

	// It reads again: old things come, then pictures go on.
	v.reopen()
	deadline := time.After(patience)
	for i := uint32(frames); ; i++ {
		stuck.sink.WriteVideo(picture(tr.codecs[0], pk, 1, i*3000, true, 500))
		select {
		case p := <-slow.rtp:
			if p.Timestamp >= frames*3000 {
				return
			}
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("nothing new after the client reads again")
		}
	}
}

// TestFurtherTCPPort: who is handed over comes in like those of the own port.
func TestFurtherTCPPort(t *testing.T) {
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := front.Addr().(*net.TCPAddr).Port
	rooms := newFakeRooms()
	tr, err := New(Config{TCPPorts: []int{port}}, fakeCodecs(), rooms, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			tr.ServeTCP(c)
		}
	})
	t.Cleanup(func() { _ = front.Close(); wg.Wait() })

	c := newClient(t, clientConfig{receive: true, setting: onlyTCP})
	a, err := tr.Offer(t.Context(), viewer, c.offer())
	if err != nil {
		t.Fatal(err)
	}
	named := false
	var sdp strings.Builder
	for _, l := range strings.SplitAfter(a.SDP, "\r\n") {
		if strings.HasPrefix(l, "a=candidate") {
			f := strings.Fields(l)
			if f[2] != "tcp" || f[4] != "127.0.0.1" || f[5] != strconv.Itoa(port) {
				continue
			}
			named = true
		}
		sdp.WriteString(l)
	}
	if !named {
		t.Fatalf("port %d is in no candidate:\n%s", port, a.SDP)
	}
	a.SDP = sdp.String()
	c.accept(a)
	wait(t, c.up, "connection through the further port")
	wait(t, rooms.subs, "subscription")
}

// TestTCPStrangers: connections that say nothing, or nonsense, end with the
// transport.
func TestTCPStrangers(t *testing.T) {
	tr := newTransport(t, newFakeRooms())
	var conns []net.Conn
	for _, first := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x00\x14\x00\x01"} {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(tr.Port())))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, first)
		conns = append(conns, c)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("still open: %v", err)
		}
		_ = c.Close()
	}
}

// starved is a listener of a process that is out of file descriptors once.
type starved struct {
	net.Listener
	once sync.Once
}

func (l *starved) Accept() (net.Conn, error) {
	var err error
	l.once.Do(func() { err = &net.OpError{Op: "accept", Err: syscall.EMFILE} })
	if err != nil {
		return nil, err
	}
	return l.Listener.Accept()
}

// TestListenerGoesOn: who comes while connections cannot be accepted is served later, and the
// log says what is missing.
func TestListenerGoesOn(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	l := newListener(&starved{Listener: port}, make(farewells, 1), tcp.Options{}, slog.New(slog.NewTextHandler(&log, nil)))
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	served, err := l.Accept()
	if err != nil || served.RemoteAddr().String() != client.LocalAddr().String() {
		t.Fatalf("%v was served, %v", served, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "LimitNOFILE") {
		t.Errorf("the log does not say what to do:\n%s", &log)
	}
}
