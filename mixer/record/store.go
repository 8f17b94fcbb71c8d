package record

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"mixdown/mixer"
)

// Store is where recordings go beside the local folder. Uploads are in parts, so
// that one can go on where a former process stopped.
type Store interface {
	// String is what a recording says of where it is.
	String() string
	// Begin starts an upload of name, and returns what it is called.
	Begin(ctx context.Context, name, media string) (upload string, err error)
	// Part uploads part n, from 1, and returns its tag: the MD5 sum in hex.
	Part(ctx context.Context, name, upload string, n int, data io.ReadSeeker, size int64) (tag string, err error)
	// Parts returns the tags of the parts that are there, by number.
	Parts(ctx context.Context, name, upload string) (map[int]string, error)
	// Finish makes a whole of the parts, whose tags are in order.
	Finish(ctx context.Context, name, upload string, tags []string) error
	// Abort forgets an upload.
	Abort(ctx context.Context, name, upload string) error
	// Open reads what was uploaded.
	Open(ctx context.Context, name string) (io.ReadSeekCloser, error)
	Delete(ctx context.Context, name string) error
}

// uploads is what a recording's folder knows of uploads that are not finished,
// by file.
const uploads = "uploads.json"

const (
	partSize   = 8 << 20 // of all but the last part; S3 wants 5 MB or more
	tries      = 8       // of one part
	firstPause = 500 * time.Millisecond
	maxPause   = time.Minute
)

// loadUploads reads which uploads were begun.
func (r *Recorder) loadUploads(dir string) map[string]string {
	begun := map[string]string{}
	if raw, err := r.root.ReadFile(path.Join(dir, uploads)); err == nil {
		_ = json.Unmarshal(raw, &begun) // what cannot be read begins anew
	}
	return begun
}

// upload stores all files of a complete recording.
func (r *Recorder) upload(dir string, rec *mixer.Recording) error {
	for _, f := range rec.Files {
		if err := r.uploadFile(r.ctx, dir, f); err != nil {
			return fmt.Errorf("upload %s: %w", f.Name, err)
		}
	}
	rec.Stored = r.cfg.Store.String()
	_ = r.root.Remove(path.Join(dir, uploads))
	return nil
}

// uploadFile goes on with an upload, or begins it: parts that are there and
// are what is here are left as they are.
func (r *Recorder) uploadFile(ctx context.Context, dir string, f mixer.RecordingFile) error {
	in, err := r.root.Open(path.Join(dir, f.Name))
	if err != nil {
		return err
	}
	defer in.Close()
	u, err := r.beginUpload(ctx, dir, f.Name, f.Type)
	if err != nil {
		return err
	}
	return u.finish(ctx, in, f.Size)
}

// transfer is one file's upload.
type transfer struct {
	rec    *Recorder
	dir    string
	name   string // in the store
	file   string
	upload string
	tags   map[int]string
}

// beginUpload finds an upload of a file, or begins one and notes it.
func (r *Recorder) beginUpload(ctx context.Context, dir, file, media string) (*transfer, error) {
	u := &transfer{rec: r, dir: dir, file: file, name: path.Join(dir, file)}
	r.uploading.Lock()
	u.upload = r.loadUploads(dir)[file]
	r.uploading.Unlock()
	if u.upload != "" {
		if tags, err := r.cfg.Store.Parts(ctx, u.name, u.upload); err == nil {
			u.tags = tags
			return u, nil
		}
	}
	err := r.again(ctx, func() (err error) {
		u.upload, err = r.cfg.Store.Begin(ctx, u.name, media)
		return err
	})
	if err != nil {
		return nil, err
	}
	u.tags = map[int]string{}
	r.uploading.Lock()
	defer r.uploading.Unlock()
	begun := r.loadUploads(dir)
	begun[file] = u.upload
	raw, err := json.Marshal(begun)
	if err != nil {
		return nil, err
	}
	return u, replace(r.root, path.Join(dir, uploads), raw)
}

// part uploads one part, unless it is there as it is here.
func (u *transfer) part(ctx context.Context, in io.ReaderAt, n int, size int64) error {
	from := int64(n-1) * partSize
	length := min(partSize, size-from)
	sum := md5.New()
	if _, err := io.Copy(sum, io.NewSectionReader(in, from, length)); err != nil {
		return err
	}
	want := hex.EncodeToString(sum.Sum(nil))
	if u.tags[n] == want {
		return nil
	}
	return u.rec.again(ctx, func() error {
		// A reader for each try: of the last one HTTP may still be reading.
		tag, err := u.rec.cfg.Store.Part(ctx, u.name, u.upload, n, io.NewSectionReader(in, from, length), length)
		if err == nil && tag != want {
			err = fmt.Errorf("part %d arrived as %s, is %s", n, tag, want)
		}
		if err == nil {
			u.tags[n] = tag
			u.rec.mu.Lock()
			u.rec.count.parts++
			u.rec.mu.Unlock()
		}
		return err
	})
}

// finish uploads what is missing or has changed since.
func (u *transfer) finish(ctx context.Context, in io.ReaderAt, size int64) error {
	parts := int(max(1, (size+partSize-1)/partSize))
	tags := make([]string, parts)
	for n := 1; n <= parts; n++ {
		if err := u.part(ctx, in, n, size); err != nil {
			return err
		}
		tags[n-1] = u.tags[n]
	}
	return u.rec.again(ctx, func() error { return u.rec.cfg.Store.Finish(ctx, u.name, u.upload, tags) })
}

// again tries until it works, or has failed too often.
func (r *Recorder) again(ctx context.Context, do func() error) error {
	pause := firstPause
	for n := 1; ; n++ {
		err := do()
		if err == nil || n == tries || ctx.Err() != nil {
			return err
		}
		r.log.Warn("recording's upload failed, trying again", "error", err, "in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
		pause = min(2*pause, maxPause)
	}
}

// follow uploads a file's full parts while it is being recorded: what may still
// change in them, as Matroska's head does at the end, goes up again in finish.
func (r *Recorder) follow(ctx context.Context, dir, name, media string, f *file, done <-chan struct{}) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	var u *transfer
	var in *os.File
	for n := 1; ; {
		select {
		case <-done:
		case <-ctx.Done():
		case <-tick.C:
			if f.size.Load() < int64(n)*partSize {
				continue
			}
			var err error
			if u == nil {
				if u, err = r.beginUpload(ctx, dir, name, media); err == nil {
					in, err = r.root.Open(path.Join(dir, name))
				}
			}
			if err == nil {
				err = u.part(ctx, in, n, f.size.Load())
			}
			if err != nil {
				r.log.Warn("recording's upload waits for the end", "file", path.Join(dir, name), "error", err)
				if u != nil && in != nil {
					in.Close()
				}
				return // upload does what is missing
			}
			n++
			continue
		}
		if in != nil {
			in.Close()
		}
		return
	}
}
