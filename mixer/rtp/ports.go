package rtp

import (
	"fmt"
	"net"
	"sync"

	"mixdown/mixer"
)

// ports gives out pairs of sockets: an even port for RTP, and the one behind it
// for RTCP (RFC 3550, section 11).
type ports struct {
	first, last int

	mu   sync.Mutex
	next int
	used map[int]bool
}

func newPorts(first, last int) *ports {
	first += first % 2
	return &ports{first: first, last: last, next: first, used: map[int]bool{}}
}

// open returns two sockets of all addresses of this machine.
func (p *ports) open() (rtp, rtcp *net.UDPConn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range (p.last - p.first + 1) / 2 {
		port := p.next
		if p.next += 2; p.next+1 > p.last {
			p.next = p.first
		}
		if p.used[port] {
			continue
		}
		if rtp, err = net.ListenUDP("udp", &net.UDPAddr{Port: port}); err != nil {
			continue // another program's
		}
		if rtcp, err = net.ListenUDP("udp", &net.UDPAddr{Port: port + 1}); err != nil {
			_ = rtp.Close()
			continue
		}
		p.used[port] = true
		return rtp, rtcp, nil
	}
	return nil, nil, fmt.Errorf("%w between %d and %d", mixer.ErrNoPorts, p.first, p.last)
}

// free takes a pair back whose sockets are closed.
func (p *ports) free(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, port)
}
