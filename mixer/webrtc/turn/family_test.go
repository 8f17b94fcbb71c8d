package turn

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun"
)

// login is a client that speaks STUN itself: pion's asks for no family.
type login struct {
	t    *testing.T
	conn net.Conn
	auth []stun.Setter
}

func (r *rig) login() *login {
	r.t.Helper()
	c, err := net.Dial("udp4", r.udp)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	l := &login{t: r.t, conn: c}
	var nonce stun.Nonce
	if err := nonce.GetFrom(l.ask(stun.MethodAllocate)); err != nil {
		r.t.Fatal(err)
	}
	name, password := r.creds.Make("ann", r.s.now().Add(time.Hour))
	l.auth = []stun.Setter{stun.NewUsername(name), stun.NewRealm(Realm), nonce, stun.NewLongTermIntegrity(name, Realm, password)}
	return l
}

// ask returns the answer to a request.
func (l *login) ask(method stun.Method, attributes ...stun.Setter) *stun.Message {
	l.t.Helper()
	all := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	m, err := stun.Build(append(all, l.auth...)...)
	if err != nil {
		l.t.Fatal(err)
	}
	answer := &stun.Message{Raw: make([]byte, 2000)}
	_ = l.conn.SetDeadline(time.Now().Add(patience))
	if _, err := l.conn.Write(m.Raw); err != nil {
		l.t.Fatal(err)
	}
	n, err := l.conn.Read(answer.Raw)
	if err != nil {
		l.t.Fatal(err)
	}
	answer.Raw = answer.Raw[:n]
	if err := answer.Decode(); err != nil {
		l.t.Fatal(err)
	}
	return answer
}

func code(m *stun.Message) stun.ErrorCode {
	var e stun.ErrorCodeAttribute
	_ = e.GetFrom(m)
	return e.Code
}

func relayed(t *testing.T, m *stun.Message) netip.Addr {
	t.Helper()
	var x stun.XORMappedAddress
	if err := x.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
		t.Fatalf("code %d: %v", code(m), err)
	}
	ip, _ := netip.AddrFromSlice(x.IP)
	return ip
}

type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return (&stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}).AddToAs(m, stun.AttrXORPeerAddress)
}

func wants(f byte) stun.RawAttribute {
	return stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{f, 0, 0, 0}}
}

var overUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

// six is an echo for a media port on IPv6.
func six(t *testing.T) netip.AddrPort {
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	return addrPort(c.LocalAddr())
}

func TestFamilyOfRelay(t *testing.T) {
	media6 := six(t)
	r := newRig(t, func(c *Config) {
		c.Relays = append(c.Relays, media6.Addr())
		c.Peers[media6] = media6
	})
	one := r.login()
	if got := code(one.ask(stun.MethodAllocate, overUDP, wants(3))); got != stun.CodeAddrFamilyNotSupported {
		t.Errorf("family 3: code %d", got)
	}
	if ip := relayed(t, one.ask(stun.MethodAllocate, overUDP)); !ip.Is4() {
		t.Errorf("%v for who does not ask", ip)
	}
	if ip := relayed(t, r.login().ask(stun.MethodAllocate, overUDP, wants(1))); !ip.Is4() {
		t.Errorf("%v for IPv4", ip)
	}
	two := r.login()
	if ip := relayed(t, two.ask(stun.MethodAllocate, overUDP, wants(2))); !ip.Is6() {
		t.Errorf("%v for IPv6", ip)
	}
	for _, c := range []struct {
		peer netip.AddrPort
		want stun.ErrorCode
	}{{media6, 0}, {r.mediaAt, stun.CodePeerAddrFamilyMismatch}, {netip.MustParseAddrPort("[2001:db8::1]:7882"), stun.CodeForbidden}} {
		if got := code(two.ask(stun.MethodCreatePermission, peerAddress(c.peer))); got != c.want {
			t.Errorf("permission for %v: code %d, want %d", c.peer, got, c.want)
		}
	}
	// What is sent to the peer comes back over IPv6.
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peerAddress(media6), stun.RawAttribute{Type: stun.AttrData, Value: []byte("ping")})
	b := make([]byte, 2000)
	if _, err := two.conn.Write(m.Raw); err != nil {
		t.Fatal(err)
	}
	n, err := two.conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	back := &stun.Message{Raw: b[:n]}
	if err := back.Decode(); err != nil {
		t.Fatal(err)
	}
	if data, _ := back.Get(stun.AttrData); string(data) != "ping" {
		t.Errorf("%q came back", data)
	}
}

// TestFamilyOfBrowsers: they never ask, and on a machine that others know by IPv6
// only a relay address of IPv4 would be of no use to them.
func TestFamilyOfBrowsers(t *testing.T) {
	name := netip.MustParseAddrPort("[2001:db8::7]:7882")
	at := six(t)
	r := newRig(t, func(c *Config) {
		c.Relays = append(c.Relays, at.Addr())
		delete(c.Peers, named)
		c.Peers[name] = at
	})
	_, p := r.allocate("udp", "ann")
	if ip := addrPort(p.LocalAddr()).Addr(); !ip.Is6() {
		t.Errorf("relay address %v", ip)
	}
	if err := r.echo(p, name, "hello"); err != nil {
		t.Error(err)
	}
}
