package mixer_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"mixdown/mixer"
)

// TestRecordedByItself: a room's recording begins with the first who sends, and
// ends when it has been empty for a while, but not sooner.
func TestRecordedByItself(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t, dir, 0, nil)
		defer s.close()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		if _, err := s.rooms.CreateRoom(mixer.RoomConfig{Name: "b"}); err != nil {
			t.Fatal(err)
		}
		s.recorder.Auto("b", mixer.RecordingSpec{Title: "by itself"})
		state := func(want mixer.RecordingState, n int, when string) {
			t.Helper()
			synctest.Wait()
			all := s.recorder.List("b")
			if len(all) != n || n > 0 && (all[n-1].State != want || all[n-1].Spec.Title != "by itself") {
				t.Fatalf("%s: recordings %+v, want %d, the last one %q", when, all, n, want)
			}
		}
		time.Sleep(5 * time.Second)
		state("", 0, "before anybody")
		c := newCard(t, 100)
		come := func() {
			p, err := s.rooms.Publish(ctx, "b", mixer.Identity{ID: "ada", Name: "Ada", Role: mixer.Participant}, c)
			if err != nil {
				t.Fatal(err)
			}
			s.playing.Go(func() { c.play(ctx, p) })
		}
		leave := func() {
			if err := s.rooms.Remove("b", "ada"); err != nil {
				t.Fatal(err)
			}
		}
		come()
		time.Sleep(5 * time.Second)
		state(mixer.RecordingRuns, 1, "with one who sends")
		leave()
		time.Sleep(20 * time.Second)
		state(mixer.RecordingRuns, 1, "empty for 20 s")
		come()
		time.Sleep(20 * time.Second)
		state(mixer.RecordingRuns, 1, "with one who came back")
		leave()
		for range 4 { // changes that are nobody's who sends
			time.Sleep(10 * time.Second)
			if err := s.rooms.SetCalls("b", nil); err != nil {
				t.Fatal(err)
			}
		}
		state(mixer.RecordingDone, 1, "empty for 40 s")
		come()
		time.Sleep(3 * time.Second)
		state(mixer.RecordingRuns, 2, "with one who came later")
	})
}
