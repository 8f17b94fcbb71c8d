package mixer_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mixdown/mixer"
	"mixdown/mixer/record"
)

// heldRoom is rooms of which one, "held", takes nobody in until it is let go.
type heldRoom struct {
	record.Rooms
	asked, free chan struct{}
}

func (h *heldRoom) Subscribe(ctx context.Context, room string, who mixer.Identity, sink mixer.Sink, want mixer.Want) (*mixer.Subscription, error) {
	if room == "held" {
		close(h.asked)
		<-h.free
	}
	return h.Rooms.Subscribe(ctx, room, who, sink, want)
}

// TestRecordingBesideHeldRoom: while a room does not take its recording in, those
// of others begin, pause, end and are counted. What begins counts as one that runs,
// and a server that stops waits for it and leaves nothing of it.
func TestRecordingBesideHeldRoom(t *testing.T) {
	held := &heldRoom{asked: make(chan struct{}), free: make(chan struct{})}
	dir := t.TempDir()
	s := newStudio(t, dir, 0, func(c *record.Config) {
		held.Rooms, c.Rooms, c.Most = c.Rooms, held, 2
	})
	defer s.close()
	if _, err := s.rooms.CreateRoom(mixer.RoomConfig{Name: "held"}); err != nil {
		t.Fatal(err)
	}
	spec := mixer.RecordingSpec{Format: "ogg"}
	begun := make(chan error, 1)
	go func() {
		_, err := s.recorder.Start(t.Context(), "held", "", spec)
		begun <- err
	}()
	<-held.asked
	others := make(chan error, 1)
	go func() {
		others <- func() error {
			rec, err := s.recorder.Start(t.Context(), "a", "", spec)
			if err != nil {
				return err
			}
			if _, err := s.recorder.Start(t.Context(), "a", "", spec); !errors.Is(err, mixer.ErrBusy) {
				return errors.Join(errors.New("a third recording, beside one that runs and one that begins"), err)
			}
			if _, err := s.recorder.Pause("a", rec.ID); err != nil {
				return err
			}
			if n := s.total(t, "mixdown_recordings_paused"); n != 1 {
				t.Errorf("%v recordings are paused, want 1", n)
			}
			_, err = s.recorder.Stop("a", rec.ID)
			return err
		}()
	}()
	select { // the bound is only for a test that hangs
	case err := <-others:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("another room's recording waits for the one that is held")
	}
	closed := make(chan struct{})
	go func() { defer close(closed); s.recorder.Close() }()
	for { // until it is stopping
		if _, err := s.recorder.Start(t.Context(), "gone", "", spec); err != nil && strings.Contains(err.Error(), "stopping") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(held.free)
	<-closed
	if err := <-begun; !errors.Is(err, mixer.ErrBusy) {
		t.Errorf("the recording that began while the server stopped: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "held")); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// fullRoom is rooms that take no recording in for a while.
type fullRoom struct {
	record.Rooms
	open  atomic.Bool
	asked atomic.Int64
}

func (f *fullRoom) Subscribe(ctx context.Context, room string, who mixer.Identity, sink mixer.Sink, want mixer.Want) (*mixer.Subscription, error) {
	f.asked.Add(1)
	if !f.open.Load() {
		return nil, mixer.ErrFull
	}
	return f.Rooms.Subscribe(ctx, room, who, sink, want)
}

// TestRecordedOnceItCanBe: a room that is to be recorded by itself and cannot be
// is tried now and then, not with each of its changes, and is once it can be.
func TestRecordedOnceItCanBe(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		full := &fullRoom{}
		s := newStudio(t, dir, 0, func(c *record.Config) { full.Rooms, c.Rooms = c.Rooms, full })
		defer s.close()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		states, err := s.rooms.Watch(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		var changes atomic.Int64
		s.playing.Go(func() {
			for range states {
				changes.Add(1)
			}
		})
		s.recorder.Auto("a", mixer.RecordingSpec{Format: "ogg"})
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := full.asked.Load(); n < 4 || n > 7 || changes.Load() < 20 {
			t.Errorf("tried %d times in a minute of %d changes", n, changes.Load())
		}
		full.open.Store(true)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if all := s.recorder.List("a"); len(all) != 1 || all[0].State != mixer.RecordingRuns {
			t.Errorf("recordings once there was room: %+v", all)
		}
	})
}

// fullBucket is a Store that takes nothing until it is let go.
type fullBucket struct{ free chan struct{} }

func (b *fullBucket) String() string { return "bucket" }
func (b *fullBucket) Begin(context.Context, string, string) (string, error) {
	<-b.free
	return "", errors.New("full")
}
func (b *fullBucket) Part(context.Context, string, string, int, io.ReadSeeker, int64) (string, error) {
	return "", errors.New("full")
}
func (b *fullBucket) Parts(context.Context, string, string) (map[int]string, error) {
	return nil, errors.New("full")
}
func (b *fullBucket) Finish(context.Context, string, string, []string) error {
	return errors.New("full")
}
func (b *fullBucket) Abort(context.Context, string, string) error { return nil }
func (b *fullBucket) Open(context.Context, string) (io.ReadSeekCloser, error) {
	return nil, errors.New("full")
}
func (b *fullBucket) Delete(context.Context, string) error { return nil }

// TestRecordingThatIsUploaded: whoever asks something of a recording that has ended is
// told so, however long its upload takes.
func TestRecordingThatIsUploaded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &fullBucket{make(chan struct{})}
		s := newStudio(t, dir, 0, func(c *record.Config) { c.Store = b })
		defer s.close()
		rec, err := s.recorder.Start(t.Context(), "a", "", mixer.RecordingSpec{Format: "ogg"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if _, err := s.recorder.Stop("a", rec.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		answer := make(chan error, 1)
		go func() {
			_, err := s.recorder.Pause("a", rec.ID)
			answer <- err
		}()
		synctest.Wait()
		select {
		case err := <-answer:
			if !errors.Is(err, mixer.ErrState) {
				t.Errorf("paused while it is uploaded: %v", err)
			}
		default:
			t.Error("who asks waits for the upload")
		}
		close(b.free)
	})
}
