package mixer

import (
	"fmt"
	"slices"
	"time"
)

// What a room's hosts decide while it runs, and what its people ask them for.

// SetHand raises a participant's hand, or lowers it.
func (s *Server) SetHand(room, id string, up bool) error {
	return s.of(room, id, func(r *Room, m *member) error {
		if up == !m.hand.IsZero() {
			return nil
		}
		e := Event{Type: "hand.lowered", Participant: id, Detail: m.id.Name}
		m.hand = time.Time{}
		if up {
			e.Type, m.hand = "hand.raised", time.Now().UTC()
		}
		r.update()
		r.notify(e)
		return nil
	})
}

// SetLocked keeps newcomers out of a room, or lets them in again. Who is in it
// when it is locked may leave and come back; hosts, and whom they invite, come in
// always.
func (s *Server) SetLocked(room string, locked bool) error {
	return s.in(room, func(r *Room) error {
		if locked == (r.places != nil) {
			return nil
		}
		e := Event{Type: "room.unlocked"}
		r.places = nil
		if locked {
			e.Type, r.places = "room.locked", map[string]bool{}
			for id, m := range r.members {
				r.places[id] = !m.id.Role.hidden()
			}
		}
		r.publishState()
		r.notify(e)
		return nil
	})
}

// LockedOut returns ErrLocked if a lock keeps somebody out of a room.
func (s *Server) LockedOut(room string, who Identity) error {
	return s.in(room, func(r *Room) error { return r.lockedOut(who) })
}

func (r *Room) lockedOut(who Identity) error {
	if r.places == nil || r.places[who.ID] || r.members[who.ID] != nil || who.Role == Host || who.Invited {
		return nil
	}
	return fmt.Errorf("room %q: %w", r.name, ErrLocked)
}

// SetLayout chooses one of Layouts for what people see, in all tiers. Two people
// go on seeing each other.
func (s *Server) SetLayout(room, layout string) error {
	if !slices.Contains(Layouts(), layout) {
		return fmt.Errorf("room %q: layout %.20q: %w: it is one of %q", room, layout, ErrNoLayout, Layouts())
	}
	return s.in(room, func(r *Room) error {
		if layout == r.layout {
			return nil
		}
		r.layout = layout
		r.updateNow()
		r.notify(Event{Type: "room.layout", Detail: layout})
		return nil
	})
}

// notify tells what has changed in the room.
func (r *Room) notify(e Event) {
	if notify := r.server.cfg.Notify; notify != nil {
		e.Room, e.Time = r.name, time.Now().UTC()
		notify(e)
	}
}
