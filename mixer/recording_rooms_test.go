package mixer_test

import (
	"bytes"
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

	"mixdown/codec"
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

// blindRoom is rooms whose taps see no pictures until it is let go.
type blindRoom struct {
	record.Rooms
	sees atomic.Bool
}

func (b *blindRoom) Tap(room, id string, tap mixer.Tap) (stop func(), err error) {
	return b.Rooms.Tap(room, id, &blindTap{tap, b})
}

type blindTap struct {
	mixer.Tap
	room *blindRoom
}

func (b *blindTap) WriteUnit(u codec.Unit) {
	if u.Codec.Kind == codec.Audio || b.room.sees.Load() {
		b.Tap.WriteUnit(u)
	}
}

// TestRecordingOfNoPictures: a recording does not wait for the first picture of
// somebody who says that it sends some: meanwhile it does what it is asked for, and
// what is heard is written. Once there are pictures, they are in a file with the sound.
func TestRecordingOfNoPictures(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		blind := &blindRoom{}
		s := newStudio(t, dir, 0, func(c *record.Config) { blind.Rooms, c.Rooms = c.Rooms, blind })
		defer s.close()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		c := newLateCamera(t)
		pub, err := s.rooms.Publish(ctx, "a", mixer.Identity{ID: "g", Name: "Grace", Role: mixer.Participant}, c)
		if err != nil {
			t.Fatal(err)
		}
		s.playing.Go(func() { defer c.sound.Close(); c.play(ctx, t, pub) })
		time.Sleep(3 * time.Second)
		rec, err := s.recorder.Start(t.Context(), "a", "", mixer.RecordingSpec{Format: "mkv", Participants: true})
		if err != nil {
			t.Fatal(err)
		}
		// In virtual time nothing takes any but what waits.
		for range 3 {
			for _, do := range []func(room, id string) (mixer.Recording, error){s.recorder.Pause, s.recorder.Resume} {
				asked := time.Now()
				if _, err := do("a", rec.ID); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(asked); took > 0 {
					t.Errorf("it answered after %v", took)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		files := func() (found []mixer.RecordingFile) {
			got, err := s.recorder.Get("a", rec.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range got.Files {
				if strings.HasPrefix(f.Name, "pGrace-") {
					found = append(found, f)
				}
			}
			return found
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		// Where decoding begins a moment passes without pictures, and has files of its own.
		heard := files()
		if len(heard) == 0 || heard[len(heard)-1].Size == 0 {
			t.Fatalf("files of who is only heard: %+v", heard)
		}
		blind.sees.Store(true)
		time.Sleep(4 * time.Second)
		if _, err := s.recorder.Stop("a", rec.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		seen := files()
		if len(seen) != len(heard)+1 {
			t.Fatalf("files of who was seen later: %+v, before %+v", seen, heard)
		}
		for i, f := range seen[len(seen)-2:] {
			if f.Length < 3 || f.Length > 5 {
				t.Errorf("%s is %v s long, want about 4", f.Name, f.Length)
			}
			raw, err := os.ReadFile(filepath.Join(dir, "a", rec.ID, f.Name))
			if err != nil {
				t.Fatal(err)
			}
			if pictures := bytes.Contains(raw, []byte("V_VP8")); pictures != (i == 1) || !bytes.Contains(raw, []byte("A_OPUS")) {
				t.Errorf("%s: pictures %v", f.Name, pictures)
			}
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
