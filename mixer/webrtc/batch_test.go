package webrtc

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
)

// listenUDP opens a socket on a loopback address that reads give up on.
func listenUDP(t testing.TB, ip net.IP) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
	if err != nil {
		t.Skipf("no %v: %v", ip, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadBuffer(4 << 20)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// TestBatch sends pictures' worth of datagrams to several clients and compares
// what arrives, cut by the kernel and not.
func TestBatch(t *testing.T) {
	for _, c := range []struct {
		name string
		ip   net.IP
		cuts bool
	}{{"GSO", net.IPv4(127, 0, 0, 1), true}, {"plain", net.IPv4(127, 0, 0, 1), false}, {"IPv6", net.IPv6loopback, true}} {
		t.Run(c.name, func(t *testing.T) {
			m := newMeter()
			b := newBatch(listenUDP(t, c.ip), m)
			if c.cuts && !b.cuts {
				t.Skip("this kernel has no UDP_SEGMENT")
			}
			b.cuts = c.cuts
			random := rand.New(rand.NewPCG(1, 2))
			clients := []*net.UDPConn{listenUDP(t, c.ip), listenUDP(t, c.ip), listenUDP(t, c.ip)}
			want := make([][][]byte, len(clients))
			messages := 0
			for range 60 {
				i := random.IntN(len(clients))
				size, n := 1+random.IntN(1200), 1+random.IntN(90)
				for j := range n {
					if j == n-1 {
						size = 1 + random.IntN(size) // the last one is smaller
					}
					p := make([]byte, size)
					for k := range p {
						p[k] = byte(random.Uint32())
					}
					b.add(p, clients[i].LocalAddr().(*net.UDPAddr))
					want[i] = append(want[i], p)
				}
				messages += b.n
				b.Flush()
			}
			total := 0
			buf := make([]byte, 2048)
			for i, conn := range clients {
				for j, p := range want[i] {
					n, err := conn.Read(buf)
					if err != nil {
						t.Fatalf("client %d, datagram %d of %d: %v", i, j, len(want[i]), err)
					}
					if !bytes.Equal(buf[:n], p) {
						t.Fatalf("client %d, datagram %d: %d bytes that differ from the %d sent", i, j, n, len(p))
					}
				}
				total += len(want[i])
			}
			if c.cuts && messages > total/4 {
				t.Errorf("%d datagrams in more than %d messages", total, messages)
			}
			if n := testutil.ToFloat64(m.dropSocket); n != 0 {
				t.Errorf("%v dropped", n)
			}
		})
	}
}

// TestBatchRefused: what the kernel does not cut goes uncut, and what it does not
// take at all is counted and holds up nobody.
func TestBatchRefused(t *testing.T) {
	m := newMeter()
	b := newBatch(listenUDP(t, net.IPv4(127, 0, 0, 1)), m)
	if !b.cuts {
		t.Skip("this kernel has no UDP_SEGMENT")
	}
	good := listenUDP(t, net.IPv4(127, 0, 0, 1))
	to := good.LocalAddr().(*net.UDPAddr)
	for i := range 3 {
		b.add(binary.BigEndian.AppendUint16(nil, uint16(i)), to)
	}
	// A path with smaller datagrams is EINVAL; so is a control message cut short.
	(*unix.Cmsghdr)(unsafe.Pointer(&b.messages[0].control[0])).SetLen(1)
	b.add([]byte{9, 9}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 0}) // EINVAL for good
	b.add([]byte{7, 7, 7}, to)
	b.Flush()
	buf := make([]byte, 100)
	for i, want := range [][]byte{{0, 0}, {0, 1}, {0, 2}, {7, 7, 7}} {
		n, err := good.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Fatalf("datagram %d is %v (%v), want %v", i, buf[:n], err, want)
		}
	}
	if n := testutil.ToFloat64(m.dropSocket); n != 1 {
		t.Errorf("%v dropped, want 1", n)
	}
}

// BenchmarkBatch is what the kernel takes to bring packets to 500 clients that
// nobody reads for: sound, one packet to each in turn, and pictures of seven.
func BenchmarkBatch(b *testing.B) {
	for _, c := range []struct {
		name       string
		packets, n int
	}{{"sound", 1, 120}, {"picture", 7, 1188}} {
		b.Run(c.name, func(b *testing.B) {
			ip := net.IPv4(127, 0, 0, 1)
			out := newBatch(listenUDP(b, ip), newMeter())
			var to []*net.UDPAddr
			for range 500 {
				conn := listenUDP(b, ip)
				_ = conn.SetReadBuffer(32 << 10) // full soon: memory that nobody gives back would be what is measured
				to = append(to, conn.LocalAddr().(*net.UDPAddr))
			}
			p := make([]byte, c.n)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				for range c.packets {
					out.add(p, to[i%len(to)])
				}
			}
			out.Flush()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000/float64(c.packets), "µs/packet")
		})
	}
}
