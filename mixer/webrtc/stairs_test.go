package webrtc

import (
	"testing"
	"time"
)

func TestStairs(t *testing.T) {
	var s stairs
	now := time.Unix(1000, 0)
	pass := func(d time.Duration) (ups int) {
		for end := now.Add(d); now.Before(end); now = now.Add(40 * time.Millisecond) {
			if s.holds(now) {
				ups++
			}
		}
		return ups
	}
	fell := func() bool { return s.fell(s.tier, 4, now) }

	pass(time.Second)
	if fell() {
		t.Error("one cut, as a keyframe too many, moves the client")
	}
	pass(4 * time.Second)
	if !fell() || s.tier != 1 {
		t.Errorf("the second cut leaves it on tier %d", s.tier)
	}
	pass(time.Second)
	if fell() {
		t.Error("the new tier's keyframe counts against it")
	}
	pass(4 * time.Second)
	if !fell() || s.tier != 2 {
		t.Errorf("tier %d", s.tier)
	}
	if ups := pass(19 * time.Second); ups != 0 {
		t.Error("up too early")
	}
	if ups := pass(2 * time.Second); ups != 1 || s.tier != 1 {
		t.Errorf("%d times up to tier %d", ups, s.tier)
	}
	// It was too early: down at the first cut, and the next try comes later.
	if !fell() || s.tier != 2 {
		t.Errorf("tier %d", s.tier)
	}
	if ups := pass(39 * time.Second); ups != 0 {
		t.Error("up as soon as before")
	}
	if ups := pass(2 * time.Second); ups != 1 {
		t.Error("never up again")
	}
	if pass(50*time.Second) != 1 || s.tier != 0 {
		t.Errorf("on tier %d after a long quiet", s.tier)
	}
	if pass(time.Hour) != 0 || s.tier != 0 {
		t.Error("above the best")
	}
	for range 100 {
		pass(3 * time.Second)
		fell()
	}
	if s.tier != 3 {
		t.Errorf("on tier %d of 4 when nothing gets through", s.tier)
	}
}
