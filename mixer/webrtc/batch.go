package webrtc

import (
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/pion/rtp"
	"golang.org/x/sys/unix"
)

// What one batch holds at most. A message's bounds are the kernel's: its number
// of datagrams is UDP_MAX_SEGMENTS, its size that of one UDP datagram.
const (
	batchMessages   = 64
	batchBytes      = 256 << 10
	messageSegments = 64
	messageBytes    = 65000
)

// batch hands datagrams to the kernel in few calls. Those that follow each other
// to one address and are of one size, but for a smaller last one, are one
// message, which the kernel or the network card cuts into datagrams again
// (UDP_SEGMENT, udp(7)); all messages go with one sendmmsg(2).
type batch struct {
	raw   syscall.RawConn
	local netip.Addr
	meter *meter

	mu       sync.Mutex
	cuts     bool // the socket takes UDP_SEGMENT
	bytes    [batchBytes]byte
	used     int
	n, sent  int // messages
	messages [batchMessages]message
	headers  [batchMessages]header
	push     func(fd uintptr) bool // method values are made anew at each use
}

// header is struct mmsghdr of sendmmsg(2).
type header struct {
	unix.Msghdr
	sent uint32
}

// address is a sockaddr_in or sockaddr_in6.
type address [unix.SizeofSockaddrInet6]byte

// message is what a header points to.
type message struct {
	to       address
	iov      unix.Iovec
	control  [24]byte // a cmsghdr and 16 bits, aligned: CMSG_SPACE(2)
	segment  int      // size of a datagram
	segments int
	size     int
	ended    bool // by a datagram smaller than the others
}

func newBatch(c *net.UDPConn, m *meter) *batch {
	raw, _ := c.SyscallConn() // fails for a nil connection only
	b := &batch{raw: raw, meter: m, local: c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")}
	b.push = b.write
	_ = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		b.cuts = err == nil // Linux 4.18
	})
	for i := range b.messages {
		m, h := &b.messages[i], &b.headers[i]
		h.Name, h.Namelen = &m.to[0], unix.SizeofSockaddrInet4
		if !b.local.Is4() {
			h.Namelen = unix.SizeofSockaddrInet6
		}
		h.Iov = &m.iov
		h.SetIovlen(1)
		c := (*unix.Cmsghdr)(unsafe.Pointer(&m.control[0]))
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
	return b
}

// add takes a copy of one datagram.
func (b *batch) add(p []byte, to *net.UDPAddr) {
	var addr address
	b.address(&addr, to)
	b.mu.Lock()
	defer b.mu.Unlock()
	copy(b.room(len(p), &addr), p)
}

// seal adds one packet encrypted, and returns its length.
func (b *batch) seal(g *gcm, h *rtp.Header, roc uint32, extension, payload []byte, to *address) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return g.seal(b.room(plainHeader+len(extension)+len(payload)+gcmTag, to), h, roc, extension, payload)
}

// room returns where to write a datagram of n bytes. A full batch goes out
// first. The caller holds mu.
func (b *batch) room(n int, to *address) []byte {
	if b.n == batchMessages || b.used+n > batchBytes {
		b.flush()
	}
	at := b.bytes[b.used : b.used+n : b.used+n]
	b.used += n
	if b.n > 0 && b.cuts {
		if m := &b.messages[b.n-1]; !m.ended && m.to == *to && n <= m.segment &&
			m.segments < messageSegments && m.size+n <= messageBytes {
			m.size += n
			m.segments++
			m.ended = n < m.segment
			return at
		}
	}
	m := &b.messages[b.n]
	b.n++
	m.to = *to
	m.iov.Base = &at[0]
	m.segment, m.size, m.segments, m.ended = n, n, 1, false
	return at
}

// address writes a as the kernel wants it; a has no zone.
func (b *batch) address(to *address, a *net.UDPAddr) {
	if b.local.Is4() {
		binary.NativeEndian.PutUint16(to[:], unix.AF_INET)
		binary.BigEndian.PutUint16(to[2:], uint16(a.Port))
		copy(to[4:8], a.IP.To4())
		return
	}
	binary.NativeEndian.PutUint16(to[:], unix.AF_INET6)
	binary.BigEndian.PutUint16(to[2:], uint16(a.Port))
	copy(to[8:24], a.IP.To16())
}

// Flush sends all that was added. It waits while the socket's buffer is full,
// which everybody's media goes through anyway.
func (b *batch) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
}

func (b *batch) flush() {
	if b.n == 0 {
		return
	}
	for i := range b.n {
		m, h := &b.messages[i], &b.headers[i]
		m.iov.SetLen(m.size)
		h.Control = nil
		h.SetControllen(0)
		if m.segments > 1 {
			binary.NativeEndian.PutUint16(m.control[unix.CmsgLen(0):], uint16(m.segment))
			h.Control = &m.control[0]
			h.SetControllen(len(m.control))
		}
	}
	b.sent = 0
	if b.raw.Write(b.push) != nil { // closed
		for _, m := range b.messages[b.sent:b.n] {
			b.meter.dropSocket.Add(float64(m.segments))
		}
	}
	b.n, b.used = 0, 0
}

// write sends what is left and reports whether nothing is: else it is called
// again when the socket takes more.
func (b *batch) write(fd uintptr) bool {
	for b.sent < b.n {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.headers[b.sent])), uintptr(b.n-b.sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.sent += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			b.meter.socketFull.Inc()
			return false
		default:
			b.refused(fd, errno)
			b.sent++
		}
	}
	return true
}

// refused deals with the first message that was not sent. What cannot be cut,
// because the path takes smaller datagrams only or the card makes no checksums,
// goes datagram by datagram.
func (b *batch) refused(fd uintptr, errno unix.Errno) {
	m, h := &b.messages[b.sent], &b.headers[b.sent]
	if m.segments == 1 || errno != unix.EINVAL && errno != unix.EMSGSIZE && errno != unix.EIO {
		b.meter.dropSocket.Add(float64(m.segments))
		return
	}
	if errno == unix.EIO {
		b.cuts = false
	}
	data := unsafe.Slice(m.iov.Base, m.size)
	for len(data) > 0 {
		n := min(len(data), m.segment)
		_, _, errno := unix.Syscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&data[0])), uintptr(n), unix.MSG_DONTWAIT,
			uintptr(unsafe.Pointer(h.Name)), uintptr(h.Namelen))
		if errno != 0 {
			b.meter.dropSocket.Inc()
		}
		data = data[n:]
	}
}

// flush sends what waits in all batches.
func (s *sockets) flush() {
	for _, b := range s.out {
		b.Flush()
	}
}

// enlarge gives a socket the buffers that everybody's media needs. The kernel's
// limits hold for who may not exceed them (CAP_NET_ADMIN); tell says so in the log.
func enlarge(c *net.UDPConn, log *slog.Logger, tell bool) {
	raw, _ := c.SyscallConn()
	_ = raw.Control(func(fd uintptr) {
		for _, o := range []struct {
			forced, plain int
			limit         string
		}{
			{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, "net.core.rmem_max"},
			{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, "net.core.wmem_max"},
		} {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o.forced, socketBuffer) != nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o.plain, socketBuffer)
			}
			// The kernel doubles what it is asked for, for its own book-keeping.
			if got, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, o.plain); err == nil && got < 2*socketBuffer && tell {
				log.Warn("socket buffer is smaller than hundreds of viewers need; raise the limit", "limit", o.limit, "got", got/2, "want", socketBuffer)
			}
		}
	})
}

// WriteTo implements net.PacketConn. Media waits for its batch to be full or
// flushed, all else goes at once; handshakes and questions are not repeated without pause.
func (s *udpSocket) WriteTo(p []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if ok && len(p) > 0 && !s.due(p, a.AddrPort()) {
		return len(p), nil
	}
	if !ok || !media(p) || a.Zone != "" || len(p) > messageBytes {
		return s.UDPConn.WriteTo(p, to)
	}
	s.batch.add(p, a)
	return len(p), nil
}

// due reports whether what may be a repeat goes out now.
func (s *udpSocket) due(p []byte, to netip.AddrPort) bool {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	switch {
	case p[0] < 4:
		return s.checks.admit(p, to, time.Now())
	case p[0] == recordHandshake:
		return s.flights.admit(p, s.checks.away(to), time.Now())
	}
	return true
}

// media tells RTP from RTCP and the rest (RFC 7983, section 7; RFC 5761, section 4).
func media(p []byte) bool {
	return len(p) >= 12 && p[0]>>6 == 2 && (p[1] < 192 || p[1] > 223)
}
