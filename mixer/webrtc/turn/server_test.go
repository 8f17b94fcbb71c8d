package turn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun"
	"github.com/pion/turn/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"mixdown/mixer/webrtc/tcp"
)

var discard = slog.New(slog.DiscardHandler)

const patience = 5 * time.Second

// named is what clients call the media port, besides its own address.
var named = netip.MustParseAddrPort("203.0.113.7:7882")

// rig is a server, with an echo for its media port.
type rig struct {
	t     *testing.T
	s     *Server
	creds Credentials
	clock atomic.Int64 // seconds added to the server's clock

	media, other     *net.UDPConn // other is no media port
	udp, tcp, tls    string       // addresses of the server
	mu               sync.Mutex
	sources          map[netip.AddrPort]int // whom the echo heard
	strayed          atomic.Int64           // what came to other
	mediaAt, otherAt netip.AddrPort
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, creds: Credentials{Secret: "a secret of some length"}, sources: make(map[netip.AddrPort]int)}
	var wg sync.WaitGroup
	socket := func(answer func(b []byte, from netip.AddrPort, c *net.UDPConn)) *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			b := make([]byte, 2000)
			for {
				n, from, err := c.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				answer(b[:n], from, c)
			}
		})
		return c
	}
	r.media = socket(func(b []byte, from netip.AddrPort, c *net.UDPConn) {
		r.mu.Lock()
		r.sources[from]++
		r.mu.Unlock()
		_, _ = c.WriteToUDPAddrPort(b, from)
	})
	r.other = socket(func([]byte, netip.AddrPort, *net.UDPConn) { r.strayed.Add(1) })
	r.mediaAt, r.otherAt = addrPort(r.media.LocalAddr()), addrPort(r.other.LocalAddr())
	second := socket(func(b []byte, from netip.AddrPort, c *net.UDPConn) { _, _ = c.WriteToUDPAddrPort(b, from) })

	start := time.Now()
	cfg := Config{
		Credentials: r.creds, Relays: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Peers:       map[netip.AddrPort]netip.AddrPort{r.mediaAt: r.mediaAt, named: addrPort(second.LocalAddr())},
		Allocations: 3, Bitrate: 100_000_000,
		Stream: func(uint32) (tcp.Stream, bool) { return tcp.Stream{}, false },
		Now:    func() time.Time { return start.Add(time.Since(start) + time.Duration(r.clock.Load())*time.Second) },
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if r.s, err = New(cfg, discard); err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r.udp = udp.LocalAddr().String()
	if err := r.s.ServeUDP(udp); err != nil {
		t.Fatal(err)
	}
	accept := func(l net.Listener) string {
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				r.s.ServeTCP(c)
			}
		})
		t.Cleanup(func() { _ = l.Close() })
		return l.Addr().String()
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	r.tcp = accept(listen())
	r.tls = accept(tls.NewListener(listen(), &tls.Config{Certificates: []tls.Certificate{certificate(t)}}))
	t.Cleanup(func() {
		if err := errors.Join(r.s.Close(), r.s.Close()); err != nil {
			t.Error(err)
		}
		_ = r.media.Close()
		_ = r.other.Close()
		_ = second.Close()
	})
	t.Cleanup(func() { go wg.Wait() })
	return r
}

func certificate(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// dial returns a client of pion's over a transport.
func (r *rig) dial(transport, name, password string) *turn.Client {
	r.t.Helper()
	var conn net.PacketConn
	var at string
	var err error
	switch transport {
	case "udp":
		at = r.udp
		conn, err = net.ListenPacket("udp4", "127.0.0.1:0")
	case "tcp":
		at = r.tcp
		var c net.Conn
		if c, err = net.Dial("tcp", at); err == nil {
			conn = turn.NewSTUNConn(c)
		}
	case "tls":
		at = r.tls
		var c net.Conn
		if c, err = tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true}); err == nil {
			conn = turn.NewSTUNConn(c)
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: at, TURNServerAddr: at, Conn: conn, Username: name, Password: password, Realm: Realm,
		RTO: 100 * time.Millisecond, LoggerFactory: loggers{discard},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.Listen(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close(); _ = conn.Close() })
	return c
}

// allocate logs a user in with good credentials.
func (r *rig) allocate(transport, user string) (*turn.Client, net.PacketConn) {
	r.t.Helper()
	name, password := r.creds.Make(user, r.s.now().Add(time.Hour))
	c := r.dial(transport, name, password)
	p, err := c.Allocate()
	if err != nil {
		r.t.Fatalf("%s: allocate: %v", transport, err)
	}
	r.t.Cleanup(func() { _ = p.Close() })
	return c, p
}

// echo sends one packet to a peer and waits for it to come back from there.
func (r *rig) echo(p net.PacketConn, peer netip.AddrPort, text string) error {
	b := make([]byte, 2000)
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if _, err := p.WriteTo([]byte(text), net.UDPAddrFromAddrPort(peer)); err != nil {
			return err
		}
		_ = p.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, from, err := p.ReadFrom(b)
		if err != nil {
			continue
		}
		if string(b[:n]) != text || addrPort(from) != peer {
			return fmt.Errorf("%q from %v", b[:n], from)
		}
		return nil
	}
	return errors.New("nothing came back")
}

func (r *rig) allocations() float64 {
	return testutil.ToFloat64(r.s.meter.allocations.WithLabelValues("udp")) + testutil.ToFloat64(r.s.meter.allocations.WithLabelValues("tcp"))
}

// until waits for what other goroutines are about to do.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not %s", what)
		}
	}
}

func TestRelays(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Run("all", func(t *testing.T) {
		r := newRig(t, nil)
		for _, transport := range []string{"udp", "tcp", "tls"} {
			c, p := r.allocate(transport, "ann")
			for _, peer := range []netip.AddrPort{r.mediaAt, named} {
				if err := r.echo(p, peer, "hello over "+transport); err != nil {
					t.Errorf("%s: peer %v: %v", transport, peer, err)
				}
			}
			relayed := addrPort(p.LocalAddr())
			r.mu.Lock()
			heard := r.sources[relayed]
			r.mu.Unlock()
			if heard == 0 {
				t.Errorf("%s: the media port did not hear the relay address %v", transport, relayed)
			}
			_ = p.Close()
			c.Close()
		}
		r.until("given back by those who left", func() bool { return r.allocations() == 0 })
		if in := testutil.ToFloat64(r.s.meter.in); in < 6*14 {
			t.Errorf("%v bytes counted", in)
		}
	})
	goleak.VerifyNone(t, ignore)
}

// TestConnectionEnds: what a connection had goes with it.
func TestConnectionEnds(t *testing.T) {
	r := newRig(t, nil)
	name, password := r.creds.Make("ann", r.s.now().Add(time.Hour))
	conn, err := net.Dial("tcp", r.tcp)
	if err != nil {
		t.Fatal(err)
	}
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: r.tcp, TURNServerAddr: r.tcp, Conn: turn.NewSTUNConn(conn), Username: name, Password: password, Realm: Realm, LoggerFactory: loggers{discard},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Allocate(); err != nil {
		t.Fatal(err)
	}
	if n := r.allocations(); n != 1 {
		t.Fatalf("%v allocations", n)
	}
	_ = conn.Close()
	r.until("gone with its connection", func() bool { return r.allocations() == 0 && testutil.ToFloat64(r.s.meter.connections) == 0 })
}

func TestCredentials(t *testing.T) {
	r := newRig(t, nil)
	soon := r.s.now().Add(time.Hour)
	good, password := r.creds.Make("ann", soon)
	late, latePassword := r.creds.Make("ann", r.s.now().Add(-time.Minute))
	foreign, foreignPassword := Credentials{Secret: "somebody else's"}.Make("ann", soon)
	_, other := r.creds.Make("bob", soon)
	for what, c := range map[string][2]string{
		"wrong password":    {good, "wrong"},
		"another's":         {good, other},
		"expired":           {late, latePassword},
		"of another secret": {foreign, foreignPassword},
		"no time":           {"ann", r.creds.password("ann")},
		"no user":           {good[:strings.Index(good, ":")+1], r.creds.password(good[:strings.Index(good, ":")+1])},
		"endless":           {good + strings.Repeat("x", 200), r.creds.password(good + strings.Repeat("x", 200))},
	} {
		for _, transport := range []string{"udp", "tcp"} {
			before := testutil.ToFloat64(r.s.meter.badRequest)
			if p, err := r.dial(transport, c[0], c[1]).Allocate(); err == nil {
				t.Errorf("%s: %s let in", transport, what)
				_ = p.Close()
			}
			if testutil.ToFloat64(r.s.meter.badRequest) == before {
				t.Errorf("%s: %s not counted", transport, what)
			}
		}
	}
	if n := r.allocations(); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if p, err := r.dial("udp", good, password).Allocate(); err != nil {
		t.Errorf("good ones: %v", err)
	} else {
		_ = p.Close()
	}
}

// TestExpiryDuringCall: credentials open the door, they do not end a call.
func TestExpiryDuringCall(t *testing.T) {
	r := newRig(t, nil)
	c, p := r.allocate("udp", "ann")
	r.clock.Store(2 * 3600)
	if err := c.CreatePermission(net.UDPAddrFromAddrPort(r.mediaAt)); err != nil {
		t.Errorf("permission after the credentials' end: %v", err)
	}
	if err := r.echo(p, r.mediaAt, "still here"); err != nil {
		t.Error(err)
	}
	name, password := r.creds.Make("ann", r.s.now().Add(-time.Hour))
	if _, err := r.dial("udp", name, password).Allocate(); err == nil {
		t.Error("the same credentials opened a second allocation")
	}
}

func TestOtherPeers(t *testing.T) {
	r := newRig(t, nil)
	c, p := r.allocate("udp", "ann")
	if err := r.echo(p, r.mediaAt, "x"); err != nil { // the address has a permission now
		t.Fatal(err)
	}
	for _, peer := range []string{"127.0.0.2:7882", "10.0.0.1:22", "169.254.169.254:80", "8.8.8.8:53", "0.0.0.0:7882"} {
		before := testutil.ToFloat64(r.s.meter.badPeer)
		if err := c.CreatePermission(net.UDPAddrFromAddrPort(netip.MustParseAddrPort(peer))); err == nil {
			t.Errorf("permission for %s", peer)
		}
		if testutil.ToFloat64(r.s.meter.badPeer) == before {
			t.Errorf("%s not counted", peer)
		}
	}
	// The right address, another port: neither data nor a channel gets there.
	before := testutil.ToFloat64(r.s.meter.badPeer)
	for range 20 {
		_, _ = p.WriteTo([]byte("psst"), net.UDPAddrFromAddrPort(r.otherAt))
	}
	r.until("refused", func() bool { return testutil.ToFloat64(r.s.meter.badPeer) >= before+20 })
	if n := r.strayed.Load(); n != 0 {
		t.Errorf("%d packets got to another port", n)
	}
	// And nobody but the media port reaches the client.
	if _, err := r.other.WriteToUDPAddrPort([]byte("boo"), addrPort(p.LocalAddr())); err != nil {
		t.Fatal(err)
	}
	r.until("dropped", func() bool { return testutil.ToFloat64(r.s.meter.dropStray) == 1 })
}

func TestQuotaOfAllocations(t *testing.T) {
	r := newRig(t, nil)
	var clients []net.PacketConn
	for i, transport := range []string{"udp", "tcp", "tls"} {
		_, p := r.allocate(transport, "ann")
		clients = append(clients, p)
		if n := r.allocations(); n != float64(i+1) {
			t.Errorf("%v allocations", n)
		}
	}
	name, password := r.creds.Make("ann", r.s.now().Add(30*time.Minute)) // another name of the same user
	if _, err := r.dial("udp", name, password).Allocate(); err == nil {
		t.Error("a fourth allocation of three")
	}
	if n := testutil.ToFloat64(r.s.meter.badQuota); n != 1 {
		t.Errorf("%v counted", n)
	}
	r.allocate("udp", "bob") // has its own
	_ = clients[0].Close()
	r.until("given back", func() bool { return r.allocations() == 3 })
	r.allocate("udp", "ann")
}

func TestQuotaOfBitrate(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Bitrate = 80_000 })
	_, p := r.allocate("udp", "ann")
	if err := r.echo(p, r.mediaAt, "x"); err != nil {
		t.Fatal(err)
	}
	const sent, size = 300, 1000 // 300 kB where 64 at once and 10 a second are allowed
	for i := range sent {
		if i%10 == 0 {
			time.Sleep(2 * time.Millisecond) // sockets hold less than that on their own
		}
		if _, err := p.WriteTo(make([]byte, size), net.UDPAddrFromAddrPort(r.mediaAt)); err != nil {
			t.Fatal(err)
		}
	}
	m := r.s.meter
	r.until("all through or dropped", func() bool {
		return testutil.ToFloat64(m.dropRate) > sent*2/3 && testutil.ToFloat64(m.in) > 60_000
	})
	if in := testutil.ToFloat64(m.in); in > 100_000 {
		t.Errorf("%v bytes relayed", in)
	}
}

// TestFloodOfLogins: wrong logins cost little and disturb nobody who is in.
func TestFloodOfLogins(t *testing.T) {
	r := newRig(t, nil)
	_, p := r.allocate("udp", "ann")
	if err := r.echo(p, r.mediaAt, "x"); err != nil {
		t.Fatal(err)
	}
	// A login with a wrong password, signed, with a nonce that was asked for.
	conn, err := net.Dial("udp", r.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	first := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	if _, err := conn.Write(first.Raw); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1500)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	answer := &stun.Message{Raw: b[:n]}
	var nonce stun.Nonce
	if err := errors.Join(answer.Decode(), nonce.GetFrom(answer)); err != nil {
		t.Fatal(err)
	}
	name, _ := r.creds.Make("eve", r.s.now().Add(time.Hour))
	bad := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest),
		stun.NewUsername(name), stun.NewRealm(Realm), nonce, stun.NewLongTermIntegrity(name, Realm, "wrong"))

	const logins, packets = 3000, 300
	before := testutil.ToFloat64(r.s.meter.badRequest)
	came := 0
	for i := range packets {
		for range logins / packets {
			_, _ = conn.Write(bad.Raw)
		}
		if err := r.echo(p, r.mediaAt, fmt.Sprint("packet ", i)); err == nil {
			came++
		}
	}
	if came != packets {
		t.Errorf("%d of %d packets of the call came back", came, packets)
	}
	m := r.s.meter
	r.until("all counted", func() bool {
		return testutil.ToFloat64(m.badRate)+testutil.ToFloat64(m.badRequest)-before > logins*9/10
	})
	if looked := testutil.ToFloat64(m.badRequest) - before; looked > loginBurst+loginRate*patience.Seconds()*2 {
		t.Errorf("%v of %d passwords were looked at", looked, logins)
	}
	if n := testutil.ToFloat64(m.badRate); n < logins/2 {
		t.Errorf("%v of %d logins turned away at the door", n, logins)
	}
}

func TestStreamNonsense(t *testing.T) {
	r := newRig(t, nil)
	for _, first := range []string{
		"GET / HTTP/1.1\r\n\r\n",
		"\x00\x01\xff\xec\x21\x12\xa4\x42aaaabbbbcccc", // 65516 bytes of STUN
		"\x40\x01\xff\xff",                             // of ChannelData
		"\x40\x01\x00\x04abcd",                         // without an allocation
		"\x01\x01\x00\x00\x21\x12\xa4\x42aaaabbbbcccc", // a response
		"\x00\x03\x00\x01",                             // not a multiple of four
	} {
		c, err := net.Dial("tcp", r.tcp)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(first)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.Read(make([]byte, 100)); err == nil || n > 0 {
			t.Errorf("%q was answered", first)
		} else if strings.Contains(err.Error(), "timeout") {
			t.Errorf("%q: connection stays", first)
		}
		_ = c.Close()
	}
	r.until("all gone", func() bool { return testutil.ToFloat64(r.s.meter.connections) == 0 })
}

func TestPeersMustDiffer(t *testing.T) {
	one := netip.MustParseAddrPort("127.0.0.1:7882")
	_, err := New(Config{
		Credentials: Credentials{"s"}, Relays: []netip.Addr{one.Addr()}, Allocations: 1, Bitrate: 1,
		Stream: func(uint32) (tcp.Stream, bool) { return tcp.Stream{}, false },
		Peers:  map[netip.AddrPort]netip.AddrPort{one: one, named: one},
	}, discard)
	if err == nil {
		t.Error("two names of one place")
	}
}

func FuzzDoor(f *testing.F) {
	f.Add([]byte("\x40\x01\x00\x04abcd"))
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodChannelBind, stun.ClassRequest)).Raw)
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{2, 0, 0, 0}}).Raw)
	perm := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodCreatePermission, stun.ClassRequest))
	_ = (&stun.XORMappedAddress{IP: net.IPv4(127, 0, 0, 1), Port: 7882}).AddToAs(perm, stun.AttrXORPeerAddress)
	perm.WriteHeader()
	f.Add(perm.Raw)
	at := netip.MustParseAddrPort("127.0.0.1:7882")
	s, err := New(Config{
		Credentials: Credentials{"s"}, Relays: []netip.Addr{at.Addr()}, Allocations: 1, Bitrate: 1,
		Stream: func(uint32) (tcp.Stream, bool) { return tcp.Stream{}, false },
		Peers:  map[netip.AddrPort]netip.AddrPort{at: at},
	}, discard)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 4 {
			if n, err := frameLength(b); err == nil && (n < 4 || n > maxMessage || n%4 != 0) {
				t.Fatalf("a message of %d bytes", n)
			}
		}
		isRefusal(b)
		known := newSeat(s, "udp")
		known.holders[at] = holder{"name", ipv4}
		if answer, ok := known.admit(b, at); ok && answer != nil {
			t.Fatal("answered and let through")
		}
		if _, ok := newSeat(s, "udp").admit(b, at); ok && classify(b) != request && classify(b) != allocate {
			t.Fatal("a stranger's message that is no request")
		}
	})
}

func FuzzUser(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	f.Add("1700000001:ann")
	f.Add("1700000000:ann:b")
	f.Add("-1:")
	f.Add("99999999999999999999:x")
	f.Fuzz(func(t *testing.T, name string) {
		who, err := user(name, now)
		if err != nil {
			return
		}
		if who == "" || len(who) > maxUser {
			t.Fatalf("%q is %q", name, who)
		}
		again, _ := Credentials{"s"}.Make(who, now.Add(time.Hour))
		if back, err := user(again, now); err != nil || back != who {
			t.Fatalf("%q is %q, %v", again, back, err)
		}
	})
}

// BenchmarkBadLogin is what one login costs that the door turns away.
func BenchmarkBadLogin(b *testing.B) {
	at := netip.MustParseAddrPort("127.0.0.1:7882")
	s, err := New(Config{
		Credentials: Credentials{"s"}, Relays: []netip.Addr{at.Addr()}, Allocations: 1, Bitrate: 1,
		Stream: func(uint32) (tcp.Stream, bool) { return tcp.Stream{}, false },
		Peers:  map[netip.AddrPort]netip.AddrPort{at: at},
	}, discard)
	if err != nil {
		b.Fatal(err)
	}
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	b.ReportAllocs()
	seat := newSeat(s, "udp")
	for range b.N {
		seat.admit(m.Raw, at)
	}
}
