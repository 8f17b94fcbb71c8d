package record

import (
	"context"
	"slices"
	"time"

	"mixdown/mixer"
)

// autoLinger is how long a room may be empty before its recording ends.
const autoLinger = 30 * time.Second

// autoAgain is how long after one that did not begin it is tried again, as when the
// disk is full.
const autoAgain = 10 * time.Second

// Auto records a room by itself while somebody sends in it, until the room
// closes. It may be called again and again.
func (r *Recorder) Auto(room string, spec mixer.RecordingSpec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.auto[room] != nil {
		return
	}
	ctx, stop := context.WithCancel(r.ctx)
	r.auto[room] = stop
	r.work.Go(func() {
		defer func() {
			stop()
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.auto, room)
		}()
		if states, err := r.cfg.Rooms.Watch(ctx, room); err == nil { // or it has closed
			r.attend(ctx, room, spec, states)
		}
	})
}

func (r *Recorder) attend(ctx context.Context, room string, spec mixer.RecordingSpec, states <-chan mixer.State) {
	id, busy := "", false
	linger, again := time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	linger.Stop()
	again.Stop()
	defer linger.Stop()
	defer again.Stop()
	ready := true // to try
	start := func() {
		rec, err := r.Start(ctx, room, "", spec)
		if err != nil {
			r.log.Warn("room not recorded, trying again", "room", room, "error", err, "in", autoAgain)
			ready = false
			again.Reset(autoAgain)
			return
		}
		id = rec.ID
	}
	for {
		select {
		case <-ctx.Done():
			return
		case st, ok := <-states:
			if !ok {
				return // the room has closed, and its recordings with it
			}
			was := busy
			busy = slices.ContainsFunc(st.Participants, func(m mixer.Member) bool { return m.Publishes })
			switch {
			case busy && id == "" && ready: // who stops it by hand means it
				start()
			case busy:
				linger.Stop()
			case id != "" && was: // and not again with each change among who only looks on
				linger.Reset(autoLinger)
			}
		case <-again.C:
			if ready = true; busy && id == "" {
				start()
			}
		case <-linger.C:
			if s := r.session(room, id); s != nil {
				_ = s.do(func() error { s.stop("nobody is in the room"); return nil })
			}
			id = ""
		}
	}
}
