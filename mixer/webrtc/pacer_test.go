package webrtc

import (
	"testing"
	"time"
)

// TestWaitingStaysSmall: a queue in which some always wait is no longer than they are
// many, and keeps their order.
func TestWaitingStaysSmall(t *testing.T) {
	var w waiting
	now := time.Now()
	sinks := []*sink{{}, {}, {}}
	for _, s := range sinks {
		w.put(s, now)
	}
	for i := range 10_000 {
		s, _ := w.due(now)
		if s != sinks[i%len(sinks)] {
			t.Fatalf("turn %d is another one's", i)
		}
		w.put(s, now)
	}
	if n := cap(w.sinks); n > 16 {
		t.Errorf("room for %d is kept, for %d that wait", n, len(sinks))
	}
	for range sinks {
		if s, _ := w.due(now); s == nil {
			t.Fatal("one is missing")
		}
	}
	if s, at := w.due(now); s != nil || !at.IsZero() {
		t.Errorf("%v at %v, after all had their turn", s, at)
	}
}
