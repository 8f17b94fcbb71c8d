package record

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"mixdown/mixer"
)

// stateFile is what a recording's folder says of itself.
const stateFile = "recording.json"

// reserve is a file that makes room for the last words of a recording on a disk
// that has become full.
const reserve, reserveSize = "reserve", 256 << 10

// names of rooms, recordings and files are one word each. os.Root sees that
// nothing leads out of the folder all the same.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// newID is a recording's: when it began, for people, and something that cannot
// be guessed.
func newID(now time.Time) string {
	b := make([]byte, 5)
	rand.Read(b)
	return now.UTC().Format("20060102-150405") + "-" + hex.EncodeToString(b)
}

// place is a recording's folder below the root.
func place(room, id string) (string, error) {
	if !word.MatchString(room) || !word.MatchString(id) {
		return "", fmt.Errorf("room %.80q, recording %.80q: %w", room, id, mixer.ErrNoRecording)
	}
	return path.Join(room, id), nil
}

// save writes the state so that there is always a whole one.
func save(root *os.Root, rec mixer.Recording) error {
	dir, err := place(rec.Room, rec.ID)
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return replace(root, path.Join(dir, stateFile), append(raw, '\n'))
}

// replace writes a file beside its place and moves it there.
func replace(root *os.Root, name string, raw []byte) error {
	f, err := root.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return root.Rename(name+".new", name)
}

// load reads a recording's state.
func load(root *os.Root, room, id string) (rec mixer.Recording, err error) {
	dir, err := place(room, id)
	if err != nil {
		return rec, err
	}
	raw, err := root.ReadFile(path.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return rec, fmt.Errorf("recording %q of room %q: %w", id, room, mixer.ErrNoRecording)
	}
	if err != nil {
		return rec, err
	}
	if err := json.Unmarshal(raw, &rec); err != nil {
		return rec, fmt.Errorf("%s: %w", path.Join(dir, stateFile), err)
	}
	if rec.Room != room || rec.ID != id {
		return rec, fmt.Errorf("%s: is of recording %q of room %q", path.Join(dir, stateFile), rec.ID, rec.Room)
	}
	return rec, nil
}

// list returns the recordings of a room, all of them if it is empty, oldest
// first. What cannot be read is left out.
func list(root *os.Root, room string) []mixer.Recording {
	out := []mixer.Recording{}
	rooms := []string{room}
	if room == "" {
		rooms = entries(root, ".")
	}
	for _, room := range rooms {
		if !word.MatchString(room) {
			continue
		}
		for _, id := range entries(root, room) {
			if rec, err := load(root, room, id); err == nil {
				out = append(out, rec)
			}
		}
	}
	return out
}

// entries are the names in a folder, sorted.
func entries(root *os.Root, dir string) (names []string) {
	all, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return nil
	}
	for _, e := range all {
		if e.IsDir() && word.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// seal fills in what a complete file is.
func seal(root *os.Root, dir string, f *mixer.RecordingFile) error {
	in, err := root.Open(path.Join(dir, f.Name))
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, in)
	if err != nil {
		return err
	}
	f.Size, f.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
	return nil
}

// plain makes a name that may be part of a file's.
func plain(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-' && b.Len() > 0, r == '_' && b.Len() > 0:
			b.WriteRune(r)
		}
		if b.Len() >= 40 {
			break
		}
	}
	return b.String()
}
