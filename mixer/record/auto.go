package record

import (
	"context"
	"slices"
	"time"

	"mixdown/mixer"
)

// autoLinger is how long a room may be empty before its recording ends.
const autoLinger = 30 * time.Second

// Auto records a room by itself while somebody sends in it, until the room
// closes. It may be called again and again.
func (r *Recorder) Auto(room string, spec mixer.RecordingSpec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.auto[room] != nil {
		return
	}
	ctx, stop := context.WithCancel(r.ctx)
	states, err := r.cfg.Rooms.Watch(ctx, room)
	if err != nil {
		stop()
		return
	}
	r.auto[room] = stop
	r.work.Go(func() {
		defer func() {
			stop()
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.auto, room)
		}()
		r.attend(ctx, room, spec, states)
	})
}

func (r *Recorder) attend(ctx context.Context, room string, spec mixer.RecordingSpec, states <-chan mixer.State) {
	id, empty := "", false
	linger := time.NewTimer(time.Hour)
	linger.Stop()
	defer linger.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case st, ok := <-states:
			if !ok {
				return // the room has closed, and its recordings with it
			}
			busy := slices.ContainsFunc(st.Participants, func(m mixer.Member) bool { return m.Publishes })
			switch {
			case busy && id == "": // who stops it by hand means it
				rec, err := r.Start(ctx, room, "", spec)
				if err != nil {
					r.log.Warn("room not recorded", "room", room, "error", err)
					break
				}
				id = rec.ID
			case busy:
				linger.Stop()
			case id != "" && !empty: // and not again with each change among who only looks on
				linger.Reset(autoLinger)
			}
			empty = !busy
		case <-linger.C:
			if s := r.session(room, id); s != nil {
				_ = s.do(func() error { s.stop("nobody is in the room"); return nil })
			}
			id = ""
		}
	}
}
