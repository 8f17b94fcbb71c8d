package record

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"mixdown/mixer"
)

// bucket is an S3 server with one bucket, and a way in that can fail.
type bucket struct {
	*httptest.Server
	parts atomic.Int64            // that were uploaded whole
	fail  func(*http.Request) int // status to fail with, 0 none
	mu    sync.Mutex
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	memory := s3mem.New()
	if err := memory.CreateBucket("films"); err != nil {
		t.Fatal(err)
	}
	real := gofakes3.New(memory).Server()
	b := &bucket{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		fail := b.fail
		b.mu.Unlock()
		if fail != nil {
			if status := fail(r); status != 0 {
				w.WriteHeader(status)
				return
			}
		}
		if r.Method == http.MethodPut && r.URL.Query().Get("partNumber") != "" {
			b.parts.Add(1)
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *bucket) failing(f func(*http.Request) int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = f
}

func (b *bucket) store(t *testing.T) *S3 {
	t.Helper()
	s, err := NewS3(S3Config{Endpoint: b.URL, Region: "us-east-1", Bucket: "films", Prefix: "house", Key: "key", Secret: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// library is a root with one recording that a former process was finishing.
func library(t *testing.T, size int) (dir, id string, content []byte) {
	t.Helper()
	dir, id = t.TempDir(), newID(time.Now())
	content = make([]byte, size)
	rand.Read(content)
	folder := filepath.Join(dir, "a", id)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "programme.mp4"), content, 0o640); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := save(root, mixer.Recording{
		ID: id, Room: "a", State: mixer.RecordingEnds, Started: time.Now().Add(-time.Minute), Ended: time.Now(), Length: 60, Stored: "local",
		Files: []mixer.RecordingFile{{Name: "programme.mp4", Kind: "programme", Type: "video/mp4", Length: 60}},
	}); err != nil {
		t.Fatal(err)
	}
	return dir, id, content
}

func openLibrary(t *testing.T, dir string, change func(*Config)) *Recorder {
	t.Helper()
	cfg := Config{Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	change(&cfg)
	r, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 400 {
		if ok() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("not in time: %s", what)
}

// TestUploadGoesOn stops a process in the middle of an upload to an S3 server
// that fails now and then; the next one sends what is missing, and no more.
func TestUploadGoesOn(t *testing.T) {
	b := newBucket(t)
	dir, id, content := library(t, 3*partSize+12345)
	var asked atomic.Int64
	broken := make(chan struct{})
	b.failing(func(r *http.Request) int {
		switch part := r.URL.Query().Get("partNumber"); {
		case part == "2" && asked.Add(1) == 1:
			return http.StatusInternalServerError // once: it is tried again
		case part == "3":
			select {
			case <-broken:
			default:
				close(broken)
			}
			return http.StatusServiceUnavailable
		}
		return 0
	})
	r := openLibrary(t, dir, func(c *Config) { c.Store = b.store(t) })
	select {
	case <-broken:
	case <-time.After(20 * time.Second):
		t.Fatal("the third part is never sent")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a", id, "programme.mp4")); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("the file is not here any more: %v", err)
	}

	b.failing(nil)
	before := b.parts.Load()
	r = openLibrary(t, dir, func(c *Config) { c.Store = b.store(t) })
	waitFor(t, "done", func() bool {
		rec, err := r.Get("a", id)
		return err == nil && rec.State == mixer.RecordingDone
	})
	// Two of four parts, and one each of timeline.json, timeline.vtt, chapters.vtt.
	if n := b.parts.Load() - before; n != 5 {
		t.Errorf("%d parts were sent after the restart, want 5", n)
	}
	rec, _ := r.Get("a", id)
	if rec.Stored != "s3://films/house" || !rec.Recovered || rec.Files[0].SHA256 == "" {
		t.Errorf("recording: %+v", rec)
	}
	waitFor(t, "what was uploaded goes from here", func() bool { // once the state is safe
		_, err := os.Stat(filepath.Join(dir, "a", id, "programme.mp4"))
		return errors.Is(err, fs.ErrNotExist)
	})
	f, info, err := r.File("a", id, "programme.mp4") // comes from there
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(partSize, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content[partSize:]) || info.Type != "video/mp4" {
		t.Errorf("read back: %v, %d bytes of %s", err, len(got), info.Type)
	}
	if err := r.Delete(t.Context(), "a", id); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store(t).Open(t.Context(), "a/"+id+"/programme.mp4"); err == nil {
		t.Error("a deleted recording is still in the bucket")
	}
}

// TestUploadWhileRecording sends full parts while a file grows, and those
// again that changed at the end.
func TestUploadWhileRecording(t *testing.T) {
	b := newBucket(t)
	dir := t.TempDir()
	r := openLibrary(t, dir, func(c *Config) { c.Store, c.KeepLocal = b.store(t), true })
	if err := r.root.MkdirAll("a/x1", 0o750); err != nil {
		t.Fatal(err)
	}
	raw, err := r.root.OpenFile("a/x1/programme.mkv", os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	f := newFile(raw)
	var followed sync.WaitGroup
	followed.Go(func() { r.follow(r.ctx, "a/x1", "programme.mkv", "video/x-matroska", f, f.stop) })
	content := make([]byte, 2*partSize+partSize/2)
	rand.Read(content)
	for at := 0; at < len(content); at += 1 << 20 {
		if _, err := f.Write(content[at:min(at+1<<20, len(content))]); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "two parts while it is open", func() bool { return b.parts.Load() == 2 })
	copy(content[100:], "its length")
	if _, err := f.WriteAt([]byte("its length"), 100); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	followed.Wait()
	rec := mixer.Recording{ID: "x1", Room: "a", Files: []mixer.RecordingFile{{Name: "programme.mkv", Kind: "programme", Type: "video/x-matroska"}}}
	r.complete(&rec, mixer.RecordingDone, "", nil)
	got, err := b.store(t).Open(t.Context(), "a/x1/programme.mkv")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if all, err := io.ReadAll(got); err != nil || !bytes.Equal(all, content) {
		t.Errorf("in the bucket: %v, %d bytes, want %d", err, len(all), len(content))
	}
	if n := b.parts.Load(); n != 4+3 { // the first one twice, the last one; three small files
		t.Errorf("%d parts were sent, want 7", n)
	}
}

func TestUploadGivenUp(t *testing.T) {
	r := &Recorder{log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := r.again(ctx, func() error { n++; cancel(); return io.ErrUnexpectedEOF })
	if err == nil || n != 1 {
		t.Errorf("%v after %d tries of what was called off", err, n)
	}
}

func TestRetention(t *testing.T) {
	var events []string
	r := still(t, Config{
		Dir: t.TempDir(), Keep: 48 * time.Hour, KeepSize: 250,
		Notify: func(e mixer.Event) { events = append(events, e.Type+" "+e.Recording.ID) },
	}, t.Output())
	now := time.Now()
	for i, age := range []time.Duration{72 * time.Hour, 5 * time.Hour, 4 * time.Hour, 3 * time.Hour} {
		rec := mixer.Recording{ID: string(rune('p' + i)), Room: "a", State: mixer.RecordingDone, Started: now.Add(-age), Ended: now.Add(-age), Size: 100, Stored: "local"}
		if err := r.root.MkdirAll("a/"+rec.ID, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := save(r.root, rec); err != nil {
			t.Fatal(err)
		}
	}
	r.expire(now)
	var left []string
	for _, rec := range r.List("a") {
		left = append(left, rec.ID)
	}
	if !slices.Equal(left, []string{"r", "s"}) { // p is too old, q too much
		t.Errorf("left: %v, want r and s", left)
	}
	if !slices.Equal(events, []string{"recording.deleted p", "recording.deleted q"}) {
		t.Errorf("events: %v", events)
	}
}

// TestNamesStayInside tries names that lead out of the folder.
func TestNamesStayInside(t *testing.T) {
	dir, id, _ := library(t, 10)
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "outside"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "a", id, "link.mp4")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	r := openLibrary(t, dir, func(c *Config) {})
	waitFor(t, "mended", func() bool { rec, _ := r.Get("a", id); return rec.State == mixer.RecordingDone })
	rec, _ := r.Get("a", id)
	rec.Files = append(rec.Files, mixer.RecordingFile{Name: "link.mp4"}, mixer.RecordingFile{Name: "../../../outside"})
	if err := save(r.root, rec); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]string{
		{"a", id, "link.mp4"}, {"a", id, "../../../outside"}, {"a", id, "recording.json"}, {"..", id, "programme.mp4"},
		{"a", "..", "programme.mp4"}, {"a/" + id, ".", "programme.mp4"}, {"", id, "programme.mp4"}, {"a", "", "a"},
		{"a", id + "\x00", "programme.mp4"}, {"a", strings.Repeat("x", 500), "programme.mp4"},
	} {
		if f, _, err := r.File(c[0], c[1], c[2]); err == nil {
			f.Close()
			t.Errorf("%q was opened", c)
		}
		if c[1] == id && c[0] == "a" {
			continue
		}
		if err := r.Delete(t.Context(), c[0], c[1]); err == nil {
			t.Errorf("%q was deleted", c[:2])
		}
	}
}

// TestPublishedOnce: what is completed once more, its lines gone, keeps its timeline.
func TestPublishedOnce(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.WriteFile(filepath.Join(dir, lines), []byte(`{"at":1,"event":"join","id":"a"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var rec mixer.Recording
	var made [2][]byte
	for i := range made {
		if err := publish(root, ".", &rec); err != nil {
			t.Fatal(err)
		}
		if made[i], err = os.ReadFile(filepath.Join(dir, "timeline.json")); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(filepath.Join(dir, lines))
	}
	if !bytes.Contains(made[0], []byte(`"join"`)) || !bytes.Equal(made[0], made[1]) {
		t.Errorf("first %s, then %s", made[0], made[1])
	}
}

// unstore makes the recording of a library one that ended two days ago and could not be
// uploaded.
func unstore(t *testing.T, dir, id string) {
	t.Helper()
	change(t, dir, id, func(rec *mixer.Recording) {
		rec.State, rec.Reason, rec.Ended = mixer.RecordingDone, notStored+"no answer", time.Now().Add(-2*asideAfter)
	})
}

// change writes a recording's state anew.
func change(t *testing.T, dir, id string, how func(*mixer.Recording)) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	rec, err := load(root, "a", id)
	if err != nil {
		t.Fatal(err)
	}
	how(&rec)
	if err := save(root, rec); err != nil {
		t.Fatal(err)
	}
}

// still is a Recorder that does nothing by itself.
func still(t *testing.T, cfg Config, log io.Writer) *Recorder {
	t.Helper()
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	cfg.Now = time.Now
	return &Recorder{cfg: cfg, log: slog.New(slog.NewTextHandler(log, nil)), root: root, ctx: t.Context()}
}

// recovered does what a start does about recordings of before.
func recovered(t *testing.T, dir string, b *bucket, log io.Writer, notify func(mixer.Event)) {
	t.Helper()
	still(t, Config{Dir: dir, Store: b.store(t), Notify: notify}, log).recover()
}

// TestSetAside: what cannot be uploaded at five starts is not tried for ever, says
// where it is and what to do, and is uploaded once that is done.
func TestSetAside(t *testing.T) {
	b := newBucket(t)
	dir, id, content := library(t, 1000)
	unstore(t, dir, id)
	file := filepath.Join(dir, "a", id, "programme.mp4")
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	start := func() (rec mixer.Recording, told int) {
		recovered(t, dir, b, &log, func(mixer.Event) { told++ })
		change(t, dir, id, func(saved *mixer.Recording) { rec = *saved })
		return rec, told
	}
	for n := 1; n < maxStarts; n++ {
		if rec, told := start(); !strings.HasPrefix(rec.Reason, notStored) || rec.Tries != n || told != 1 {
			t.Fatalf("start %d: %d tries, %d events, %s", n, rec.Tries, told, rec.Reason)
		}
	}
	rec, _ := start()
	for _, want := range []string{setAside, "no such file", filepath.Join(dir, "a", id), `"tries" to 0`} {
		if !strings.Contains(rec.Reason, want) {
			t.Errorf("the reason does not say %q: %s", want, rec.Reason)
		}
	}
	if !strings.Contains(log.String(), "recording set aside") {
		t.Error("nothing of it in the log")
	}
	if again, told := start(); told != 0 || again.Reason != rec.Reason || again.Tries != maxStarts {
		t.Errorf("set aside, it was tried again: %d events, %+v", told, again)
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	change(t, dir, id, func(rec *mixer.Recording) { rec.Tries = 0 })
	if rec, _ := start(); rec.Reason != "" || rec.Stored != b.store(t).String() {
		t.Fatalf("mended: %+v", rec)
	}
	in, err := b.store(t).Open(t.Context(), "a/"+id+"/programme.mp4")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes in the bucket, %v", len(got), err)
	}
}

// TestOutageIsNotSetAside: many starts in a day are one outage.
func TestOutageIsNotSetAside(t *testing.T) {
	r := &Recorder{log: slog.New(slog.DiscardHandler), cfg: Config{Now: time.Now}}
	rec := mixer.Recording{Reason: notStored + "no answer", Ended: time.Now().Add(-time.Hour)}
	for range 3 * maxStarts {
		r.missed(&rec, "a/b")
	}
	if !strings.HasPrefix(rec.Reason, notStored) {
		t.Error(rec.Reason)
	}
}

// TestUploadedThenRemoved: files go from here once the state says where they are, and
// not before; what a process left that ended in between goes at the next start.
func TestUploadedThenRemoved(t *testing.T) {
	b := newBucket(t)
	dir, id, _ := library(t, 1000)
	unstore(t, dir, id)
	folder := filepath.Join(dir, "a", id)
	blocked := filepath.Join(folder, stateFile+".new") // what the state is written into first
	if err := os.Mkdir(blocked, 0o750); err != nil {
		t.Fatal(err)
	}
	start := func() { recovered(t, dir, b, t.Output(), func(mixer.Event) {}) }
	start()
	if _, err := os.Stat(filepath.Join(folder, "programme.mp4")); err != nil {
		t.Fatalf("gone, and the state says it is here: %v", err)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	change(t, dir, id, func(rec *mixer.Recording) { rec.Reason, rec.Stored = "", b.store(t).String() })
	start()
	if _, err := os.Stat(filepath.Join(folder, "programme.mp4")); !os.IsNotExist(err) {
		t.Errorf("uploaded, it stays here: %v", err)
	}
}
