package sip

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// linger is how long a call that is over is remembered: its last requests may
// be sent again, its last response may be acknowledged (64*T1).
const linger = 32 * time.Second

// shown is how long a call that is over is shown to those who placed it.
const shown = 15 * time.Second

// calls are those that are, and those that were a moment ago.
type calls struct {
	max int

	mu      sync.Mutex
	byTag   map[string]*call // by Call-ID and our tag
	byStart map[string]*call // by Call-ID and the caller's tag
	byID    map[string]*call
	hosts   map[netip.Addr]int // of those that are
	live    int
	out     int // placed by us, of live
}

func newCalls(max int) *calls {
	return &calls{max: max, byTag: map[string]*call{}, byStart: map[string]*call{}, byID: map[string]*call{}, hosts: map[netip.Addr]int{}}
}

func key(callID, tag string) string { return callID + "\x00" + tag }

// find returns the call that a request belongs to.
func (s *calls) find(req *sip.Request) *call {
	id := req.CallID()
	if id == nil || req.To() == nil || req.From() == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if tag, ok := req.To().Params.Get("tag"); ok {
		return s.byTag[key(string(*id), tag)]
	}
	tag, _ := req.From().Params.Get("tag")
	return s.byStart[key(string(*id), tag)]
}

func (s *calls) known(req *sip.Request) bool { return s.find(req) != nil }

func (s *calls) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live >= s.max
}

func (s *calls) from(a netip.Addr) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts[host(a)]
}

// add takes a call in; false if it is there already, or there are too many. most
// bounds those placed by us, 0 does not.
func (s *calls) add(c *call, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	tag, start := key(c.dialog.callID, c.dialog.localTag()), key(c.dialog.callID, c.dialog.remoteTag())
	if s.byTag[tag] != nil || !c.outgoing && s.byStart[start] != nil || s.live >= s.max || most > 0 && s.out >= most {
		return false
	}
	s.byTag[tag], s.byID[c.id] = c, c
	if !c.outgoing {
		s.byStart[start] = c
	} else {
		s.out++
	}
	s.live++
	if c.from.IsValid() {
		s.hosts[host(c.from.Addr())]++
	}
	return true
}

// end notes that a call is over; forget drops it for good after a while.
func (s *calls) end(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live--
	if c.outgoing {
		s.out--
	}
	if c.from.IsValid() {
		h := host(c.from.Addr())
		if s.hosts[h]--; s.hosts[h] <= 0 {
			delete(s.hosts, h)
		}
	}
}

// forget drops what is over for long enough, and returns the rooms of those
// that are no longer shown.
func (s *calls) forget(now time.Time) (rooms []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.byID {
		at := c.overAt()
		if at.IsZero() {
			continue
		}
		if age := now.Sub(at); age > linger {
			delete(s.byID, id)
			delete(s.byTag, key(c.dialog.callID, c.dialog.localTag()))
			if !c.outgoing {
				delete(s.byStart, key(c.dialog.callID, c.startTag))
			}
		} else if age > shown && !c.faded {
			c.faded = true
			rooms = append(rooms, c.view().Room)
		}
	}
	slices.Sort(rooms)
	return slices.Compact(rooms)
}

func (s *calls) get(id string) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// of lists the calls of a room, oldest first: those that are, and for a moment
// those placed by us that are over.
func (s *calls) of(room string) []mixer.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []mixer.Call{}
	for _, c := range s.byID {
		v := c.view()
		if v.Room != room || !c.overAt().IsZero() && (c.faded || !c.outgoing) {
			continue
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b mixer.Call) int { return a.Started.Compare(b.Started) })
	return out
}

// all returns the calls that are.
func (s *calls) all() []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*call
	for _, c := range s.byID {
		if c.overAt().IsZero() {
			out = append(out, c)
		}
	}
	return out
}
