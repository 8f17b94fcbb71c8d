package webrtc

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func rtpHeader(ssrc uint32) []byte {
	b := make([]byte, 20)
	b[0], b[1] = 0x80, 96
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

func rtcpHeader(ssrc uint32) []byte {
	b := make([]byte, 20)
	b[0], b[1] = 0x81, 201
	binary.BigEndian.PutUint32(b[4:], ssrc)
	return b
}

func check(t testing.TB, user string) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewSoftware("any"), stun.NewUsername(user), stun.NewShortTermIntegrity("pwd"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func from(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 16), 1}), uint16(n))
}

func TestGuard(t *testing.T) {
	limits := Limits{Packets: 100, Checks: 10, Feedback: 20, Streams: 4, Addresses: 3}
	admitted := func(g *guard, n int, packet func(i int) ([]byte, netip.AddrPort)) (ok int) {
		for i := range n {
			b, a := packet(i)
			if g.admit(b, a, start.Add(time.Duration(i)*time.Microsecond)) {
				ok++
			}
		}
		return ok
	}
	for name, c := range map[string]struct {
		packet func(i int) ([]byte, netip.AddrPort)
		want   int
	}{
		"packets of one address":     {func(int) ([]byte, netip.AddrPort) { return rtpHeader(1), from(1) }, 100},
		"packets of many":            {func(i int) ([]byte, netip.AddrPort) { return rtpHeader(1), from(i) }, 1000},
		"streams of one address":     {func(i int) ([]byte, netip.AddrPort) { return rtpHeader(uint32(i)), from(1) }, 4},
		"streams by RTCP":            {func(i int) ([]byte, netip.AddrPort) { return rtcpHeader(uint32(i)), from(1) }, 4},
		"feedback":                   {func(int) ([]byte, netip.AddrPort) { return rtcpHeader(1), from(1) }, 20},
		"checks":                     {func(int) ([]byte, netip.AddrPort) { return check(t, "a:b"), from(1) }, 10},
		"handshakes":                 {func(int) ([]byte, netip.AddrPort) { return []byte{22, 1}, from(1) }, 10},
		"addresses of one session":   {func(i int) ([]byte, netip.AddrPort) { return check(t, "a:b"), from(i) }, 3},
		"addresses of many sessions": {func(i int) ([]byte, netip.AddrPort) { return check(t, fmt.Sprint(i, ":b")), from(i) }, 1000},
		"sessions of one address":    {func(i int) ([]byte, netip.AddrPort) { return check(t, fmt.Sprint(i, ":b")), from(1) }, maxUfrags},
		"cut short":                  {func(i int) ([]byte, netip.AddrPort) { return rtpHeader(1)[:1+i%11], from(i) }, 0},
	} {
		g := newGuard(limits, newMeter())
		if got := admitted(g, 1000, c.packet); got != c.want {
			t.Errorf("%s: %d of 1000 go through, want %d", name, got, c.want)
		}
		m := g.meter
		dropped := 0.0
		for _, c := range []float64{
			testutil.ToFloat64(m.limitPackets), testutil.ToFloat64(m.limitChecks), testutil.ToFloat64(m.limitFeedback),
			testutil.ToFloat64(m.limitStreams), testutil.ToFloat64(m.limitAddresses), testutil.ToFloat64(m.badDatagram),
		} {
			dropped += c
		}
		if int(dropped) != 1000-c.want {
			t.Errorf("%s: %v counted, want %d", name, dropped, 1000-c.want)
		}
	}

	// What one sender does costs another nothing, and a second later there is room again.
	g := newGuard(limits, newMeter())
	admitted(g, 1000, func(int) ([]byte, netip.AddrPort) { return rtpHeader(1), from(1) })
	if !g.admit(rtpHeader(2), from(2), start.Add(time.Millisecond)) || !g.admit(rtpHeader(1), from(1), start.Add(time.Second)) {
		t.Error("a sender within its limits is refused")
	}
	if got := admitted(newGuard(Limits{}, newMeter()), 1000, func(i int) ([]byte, netip.AddrPort) { return rtpHeader(uint32(i)), from(1) }); got != 1000 {
		t.Errorf("without limits %d of 1000 go through", got)
	}
}

// TestGuardForgets floods a guard from more addresses than it keeps.
func TestGuardForgets(t *testing.T) {
	g := newGuard(DefaultLimits(), newMeter())
	now := start
	if !g.admit(check(t, "member:b"), from(1), now) {
		t.Fatal("a check is refused")
	}
	stranger := check(t, "none:b")
	for i := range 5 * maxSenders {
		now = now.Add(100 * time.Microsecond)
		g.admit(stranger, from(2+i), now)
		g.admit(rtpHeader(1), from(1), now)
		if len(g.senders) > maxSenders {
			t.Fatalf("%d addresses kept, at most %d", len(g.senders), maxSenders)
		}
	}
	if a := g.senders[from(1)]; a == nil || len(a.ufrags) != 1 {
		t.Errorf("the one that sends was forgotten: %+v", a)
	}
	now = now.Add(senderIdle + sweepEvery)
	g.sweep(now)
	if len(g.senders) != 0 || len(g.ufrags) != 0 {
		t.Errorf("%d addresses and %d sessions kept after a long silence", len(g.senders), len(g.ufrags))
	}
}

func TestUsername(t *testing.T) {
	good := check(t, "left:right")
	if u := username(good); u != "left" {
		t.Errorf("%q, want left", u)
	}
	for n := range good {
		if u := username(good[:n]); u != "" && u != "left" {
			t.Errorf("%q of %d bytes", u, n)
		}
	}
	if u := username(check(t, "alone")); u != "alone" {
		t.Errorf("%q", u)
	}
}

func BenchmarkGuard(b *testing.B) {
	g := newGuard(Limits{}, newMeter())
	g.limits = Limits{Packets: 1 << 40, Checks: 1, Feedback: 1, Streams: 4, Addresses: 4}
	packets := make([][]byte, 50)
	for i := range packets {
		packets[i] = rtpHeader(uint32(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !g.admit(packets[i%50], from(i%50), start) {
			b.Fatal("refused")
		}
	}
}

// TestManyStreams: a session whose sealed packets are about ever more streams
// ends, since pion keeps something for each.
func TestManyStreams(t *testing.T) {
	p := &peer{meter: newMeter(), limits: Limits{Streams: 8}, closed: make(chan struct{}), ready: make(chan struct{})}
	close(p.ready)
	for i := range 32 {
		_, _ = p.buffer(0, uint32(i)).Write([]byte{1})
	}
	select {
	case <-p.closed:
		t.Fatalf("closed at 32 buffers: %v", p.reason)
	default:
	}
	p.buffer(0, 99)
	<-p.closed
	if p.reason != errStreams || testutil.ToFloat64(p.meter.limitStreams) != 1 {
		t.Errorf("%v, %v counted", p.reason, testutil.ToFloat64(p.meter.limitStreams))
	}
}
