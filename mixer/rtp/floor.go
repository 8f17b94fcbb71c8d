package rtp

import (
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer/rtp/bfcp"
)

// floorPackets bounds the messages of BFCP a second.
const floorPackets = 50

// floor is where the other end asks whether it may show slides: a socket, and the
// server of the floor behind it. It may, always; what the room shows of several
// screens is the room's to say.
type floor struct {
	leg  *Leg
	port int
	conn [2]*net.UDPConn // the second one only keeps the pair of ports

	mu   sync.Mutex
	bfcp bfcp.Floor
	open bool           // is agreed on
	peer netip.Addr     // by its SDP
	to   netip.AddrPort // where its messages come from
	rate bucket
}

// role is what a leg takes an m-line of the other end for.
func (m *media) role() role {
	if m.slides && m.kind == codec.Video {
		return slidesLine
	}
	return role(m.kind)
}

// control returns the m-line by which the other end asks for the floor, -1 for none.
func (d *description) control() int {
	for i, m := range d.media {
		if m.bfcp && !m.refused && !m.serves {
			return i
		}
	}
	return -1
}

// openFloor makes the floor at the first call, or gives it back to a new client.
// The caller holds signal.
func (l *Leg) openFloor(m *media) error {
	f := l.floor
	if f == nil {
		if l.ended() {
			return errEnded
		}
		first, second, err := l.transport.ports.open()
		if err != nil {
			return err
		}
		var b [6]byte
		_, _ = rand.Read(b[:]) // it never fails
		f = &floor{leg: l, port: portOf(first), conn: [2]*net.UDPConn{first, second}}
		// Who does not know them cannot ask. Some take them for signed numbers.
		f.bfcp = bfcp.Floor{Conference: binary.BigEndian.Uint32(b[:]) >> 1, User: 1 + binary.BigEndian.Uint16(b[4:])>>2, ID: 1}
		l.mu.Lock()
		l.floor = f
		l.mu.Unlock()
		l.readers.Go(f.read)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open, f.peer = true, m.address
	return nil
}

// closeFloor takes the floor back from who has no slides any more. The caller
// holds signal.
func (l *Leg) closeFloor() {
	if f := l.floor; f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open = false
		f.bfcp.Reset()
		f.changed(false)
	}
}

// read takes messages until the socket is closed.
func (f *floor) read() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := f.conn[0].ReadFromUDPAddrPort(buf)
		if err != nil {
			if f.leg.ended() {
				return
			}
			continue // an ICMP error of earlier messages
		}
		f.take(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), time.Now())
	}
}

// take takes one message, and answers it.
func (f *floor) take(b []byte, from netip.AddrPort, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.rate.take(floorPackets, now) {
		f.leg.meter.limited.Inc()
		return
	}
	if !f.open {
		f.leg.meter.floorsBad.Inc()
		return
	}
	held := f.bfcp.Held()
	answer, err := f.bfcp.Take(b, now)
	if err != nil {
		f.leg.meter.floorsBad.Inc()
		f.leg.log.Debug("message of BFCP not taken", "from", from, "error", err)
		if from != f.to && from.Addr() != f.peer {
			return // a stranger's
		}
	} else {
		f.leg.meter.floors.Inc()
		f.to = from
	}
	if answer != nil {
		_, _ = f.conn[0].WriteToUDPAddrPort(answer, from)
	}
	if f.bfcp.Held() != held {
		f.changed(!held)
	}
}

// changed has the room see slides, or no longer. The caller holds mu.
func (f *floor) changed(held bool) {
	s := f.leg.source
	if s.floor.Swap(held) != held {
		s.wantKey()
		f.leg.log.Info("floor", "held", held)
	}
}

// step sends what the participant is told.
func (f *floor) step(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.bfcp.Due(now); b != nil && f.to.IsValid() {
		_, _ = f.conn[0].WriteToUDPAddrPort(b, f.to)
	}
}

// close lets read end.
func (f *floor) close() {
	for _, c := range f.conn {
		_ = c.Close()
	}
}

// present tells the room when slides come and go.
func (l *Leg) present(d *due, now time.Time) {
	l.mu.Lock()
	at, f := l.seat, l.floor
	l.mu.Unlock()
	if f == nil {
		return
	}
	f.step(now)
	if at == nil || at.pub == nil {
		return
	}
	if at != d.seat {
		d.seat, d.screen = at, false
	}
	on := l.source.showsSlides()
	if on == d.screen {
		return
	}
	d.screen = on
	room, id := at.session.Room, at.session.Identity.ID
	err := l.transport.rooms.SetScreen(room, id, on)
	if err == nil {
		err = l.showMedia()
	}
	if err != nil {
		l.log.Debug("slides could not be told", "error", err)
	}
}
