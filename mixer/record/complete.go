package record

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

// complete seals what was recorded, stores it, and tells.
func (r *Recorder) complete(rec *mixer.Recording, state mixer.RecordingState, reason string, update func(mixer.Recording)) (done bool) {
	dir, err := place(rec.Room, rec.ID)
	if err == nil {
		err = publish(r.root, dir, rec)
	}
	told := err == nil
	rec.Size = 0
	for i := range rec.Files {
		if failed := seal(r.root, dir, &rec.Files[i]); failed != nil {
			err = errors.Join(err, failed)
		}
		rec.Size += rec.Files[i].Size
	}
	if err != nil {
		r.log.Error("recording not completed", "room", rec.Room, "recording", rec.ID, "error", err)
		if reason = cmp.Or(reason, err.Error()); r.cfg.Store != nil && state == mixer.RecordingDone {
			reason = notStored + err.Error() // and tried again at the next start
		}
	}
	if r.cfg.Store != nil && err == nil {
		err = r.upload(dir, rec)
		if err != nil {
			r.log.Error("recording not stored, it stays here", "room", rec.Room, "recording", rec.ID, "error", err)
			rec.Reason = reason
			if r.ctx.Err() != nil { // the next start goes on with it
				return false
			}
			reason = notStored + err.Error()
		}
	}
	rec.State, rec.Reason = state, reason
	if strings.HasPrefix(reason, notStored) {
		r.missed(rec, dir)
	} else {
		rec.Tries = 0
	}
	if err := save(r.root, *rec); err != nil {
		r.log.Error("recording's state not saved", "room", rec.Room, "recording", rec.ID, "error", err)
	} else {
		r.clear(dir, *rec)
	}
	if update != nil {
		update(*rec)
	}
	if told {
		_ = r.root.Remove(path.Join(dir, lines)) // it is in timeline.json
	}
	event := "done"
	if state == mixer.RecordingFailed {
		event = "failed"
	}
	r.notify(mixer.Event{Type: "recording." + event, Room: rec.Room, Recording: rec, Detail: rec.Reason})
	return true
}

// What cannot be uploaded is tried again at so many starts, and for so long after its
// end: an outage is not to be taken for something that never works.
const (
	maxStarts  = 5
	asideAfter = 24 * time.Hour
)

// missed counts that a recording could not be uploaded, and sets it aside if that
// has gone on for long enough. It stays here whole.
func (r *Recorder) missed(rec *mixer.Recording, dir string) {
	if rec.Tries++; rec.Tries < maxStarts || r.now().Sub(rec.Ended) < asideAfter {
		return
	}
	folder := filepath.Join(r.cfg.Dir, filepath.FromSlash(dir))
	remedy := fmt.Sprintf(`mend that, set "tries" to 0 in %s, and start the server anew; or put the files where they belong by hand`, filepath.Join(folder, stateFile))
	r.log.Error("recording set aside: it is not uploaded any more, all of it stays here", "room", rec.Room, "recording", rec.ID,
		"folder", folder, "tries", rec.Tries, "reason", rec.Reason, "remedy", remedy)
	rec.Reason = fmt.Sprintf("%s%s; %d tries have failed; all of it is in %s; %s", setAside, rec.Reason, rec.Tries, folder, remedy)
	r.mu.Lock()
	r.count.aside++
	r.mu.Unlock()
}

// unstored reports whether a recording is still to be uploaded.
func unstored(rec mixer.Recording) bool {
	return rec.State == mixer.RecordingDone &&
		(strings.HasPrefix(rec.Reason, notStored) || strings.HasPrefix(rec.Reason, setAside) && rec.Tries == 0)
}

// clear removes the files here of a recording that is stored elsewhere, if they are
// not to stay. Its state says so by then: a process that ends on the way leaves files that
// can go, and not a recording that nobody finds.
func (r *Recorder) clear(dir string, rec mixer.Recording) {
	if r.cfg.Store == nil || r.cfg.KeepLocal || rec.Stored != r.cfg.Store.String() {
		return
	}
	for _, f := range rec.Files {
		if err := r.root.Remove(path.Join(dir, f.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.log.Warn("file of an uploaded recording not removed here", "file", path.Join(r.cfg.Dir, dir, f.Name), "error", err)
		}
	}
}

// errNothing says that no part of a file plays.
var errNothing = errors.New("nothing in it plays")

// headerMost is more than any muxer here writes before the first media, in bytes.
// What does not play and is larger is kept: somebody may know how to read it.
const headerMost = 4 << 10

// Beginnings of the reason of a recording that could not be uploaded: at the next start it
// is tried again, or not.
const (
	notStored = "not stored: "
	setAside  = "set aside: "
)

// recover finishes what a former process did not.
func (r *Recorder) recover() {
	for _, rec := range list(r.root, "") {
		if r.ctx.Err() != nil {
			return
		}
		if r.cfg.Store != nil && unstored(rec) {
			r.complete(&rec, rec.State, "", nil)
			continue
		}
		if rec.State == mixer.RecordingDone {
			r.clear(path.Join(rec.Room, rec.ID), rec)
		}
		if rec.State == mixer.RecordingDone || rec.State == mixer.RecordingFailed || r.session(rec.Room, rec.ID) != nil {
			continue
		}
		r.mend(rec)
	}
}

// mend makes the files of one recording whole.
func (r *Recorder) mend(rec mixer.Recording) {
	dir, err := place(rec.Room, rec.ID)
	if err != nil {
		return
	}
	rec.Recovered = true
	_ = r.root.Remove(path.Join(dir, reserve))
	length := 0.
	var kept []mixer.RecordingFile
	moments := read(r.root, dir)
	for _, f := range rec.Files {
		info, err := r.root.Stat(path.Join(dir, f.Name))
		if err != nil {
			continue // had not come to be
		}
		if f.Kind != "programme" && f.Kind != "participant" {
			kept = append(kept, f)
			continue
		}
		if rec.Ended.IsZero() || f.Length == 0 {
			if d, err := r.remux(dir, f, chapters(moments, time.Since(rec.Started))); err != nil {
				r.log.Warn("file of a recording not mended", "file", path.Join(dir, f.Name), "size", info.Size(), "error", err)
				if info.Size() == 0 || errors.Is(err, errNothing) && info.Size() <= headerMost {
					_ = r.root.Remove(path.Join(dir, f.Name)) // killed between its header and its first flush
					continue
				}
			} else {
				f.Length = d.Seconds()
			}
		}
		if f.Kind == "programme" {
			length += f.Length
		}
		kept = append(kept, f)
	}
	rec.Files, rec.Length = kept, length
	if rec.Ended.IsZero() {
		rec.Ended = rec.Started.Add(time.Duration(length * float64(time.Second)))
	}
	state, reason := mixer.RecordingDone, "the server went away while it ran"
	if length == 0 {
		state = mixer.RecordingFailed
	}
	if !r.complete(&rec, state, reason, nil) {
		return
	}
	r.mu.Lock()
	r.count.recovered++
	r.mu.Unlock()
	r.notify(mixer.Event{Type: "recording.recovered", Room: rec.Room, Recording: &rec})
}

// remux puts what plays of a file into a whole one of its name. MP4's fragments
// play as they are, and stay fragments.
func (r *Recorder) remux(dir string, f mixer.RecordingFile, marks []codec.Chapter) (time.Duration, error) {
	end := strings.TrimPrefix(path.Ext(f.Name), ".")
	all := formats()
	i := slices.IndexFunc(all, func(o format) bool { return o.name == end })
	if i < 0 {
		return 0, errors.New("of no known format")
	}
	if f.Kind != "programme" || all[i].options != nil {
		marks = nil
	}
	name := filepath.Join(r.cfg.Dir, filepath.FromSlash(dir), f.Name)
	d, err := r.cfg.Remux(name, name+".new", codec.MuxConfig{Format: all[i].muxer, Options: all[i].options, Chapters: marks})
	if err != nil || d == 0 {
		_ = os.Remove(name + ".new")
		return d, cmp.Or(err, errNothing)
	}
	return d, os.Rename(name+".new", name)
}

// retainEvery is how often old recordings are looked for.
const retainEvery = 10 * time.Minute

// retain deletes recordings beyond what is kept.
func (r *Recorder) retain() {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		r.expire(r.now())
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return
		}
	}
}

// expire deletes what is too old at now, and the oldest of what is too much.
func (r *Recorder) expire(now time.Time) {
	if r.cfg.Keep == 0 && r.cfg.KeepSize == 0 {
		return
	}
	all := slices.DeleteFunc(list(r.root, ""), func(rec mixer.Recording) bool {
		return rec.State != mixer.RecordingDone && rec.State != mixer.RecordingFailed
	})
	slices.SortFunc(all, func(a, b mixer.Recording) int { return a.Started.Compare(b.Started) })
	var sum int64
	for _, rec := range all {
		sum += rec.Size
	}
	for _, rec := range all {
		old := r.cfg.Keep > 0 && now.Sub(rec.Ended) > r.cfg.Keep
		if !old && (r.cfg.KeepSize == 0 || sum <= r.cfg.KeepSize) {
			continue
		}
		sum -= rec.Size
		if err := r.remove(r.ctx, rec, "kept long enough"); err != nil {
			r.log.Error("old recording not deleted", "room", rec.Room, "recording", rec.ID, "error", err)
		}
	}
}
