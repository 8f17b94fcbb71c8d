package webrtc

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// TestBehindNAT: a client that can only reach the named address, which is no
// interface of the server's, connects through what forwards to it.
func TestBehindNAT(t *testing.T) {
	const outside = "127.77.77.77" // on loopback, but nobody listens there
	rooms := newFakeRooms()
	tr, err := New(Config{Addresses: []string{outside}}, fakeCodecs(), rooms, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	forward(t, outside, tr.Port())

	c := newClient(t, clientConfig{receive: true})
	a, err := tr.Offer(t.Context(), viewer, cut(c.offer(), "a=candidate"))
	if err != nil {
		t.Fatal(err)
	}
	var sdp strings.Builder
	for _, l := range strings.SplitAfter(a.SDP, "\r\n") {
		if !strings.HasPrefix(l, "a=candidate") || strings.Contains(l, " udp ") && strings.Contains(l, outside) {
			sdp.WriteString(l)
		}
	}
	a.SDP = sdp.String()
	c.accept(a)
	wait(t, c.up, "connection")
	sub := wait(t, rooms.subs, "subscription")
	sub.sink.WriteVideo(picture(tr.codecs[0], new(fakePacketizer), 1, 0, true, 100))
	wait(t, c.rtp, "picture")
}

// forward translates addresses between the outside and the server on loopback.
func forward(t *testing.T, outside string, port int) {
	t.Helper()
	out, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(outside), uint16(port))))
	if err != nil {
		t.Skipf("%s is not on this machine's loopback: %v", outside, err)
	}
	var wg sync.WaitGroup
	inside := make(map[netip.AddrPort]*net.UDPConn)
	wg.Go(func() {
		b := make([]byte, 2000)
		for {
			n, from, err := out.ReadFromUDPAddrPort(b)
			if err != nil {
				break
			}
			c := inside[from]
			if c == nil {
				if c, err = net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); err != nil {
					t.Error(err)
					break
				}
				inside[from] = c
				wg.Go(func() {
					b := make([]byte, 2000)
					for {
						n, err := c.Read(b)
						if err != nil {
							return
						}
						_, _ = out.WriteToUDPAddrPort(b[:n], from)
					}
				})
			}
			_, _ = c.Write(b[:n])
		}
		for _, c := range inside {
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = out.Close()
		wg.Wait()
	})
}
