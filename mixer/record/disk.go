package record

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// syncEvery is how often what was written goes to the disk itself: what a loss
// of power costs, beside the fragment in the making.
const syncEvery = time.Second

// file is a file that is being recorded into. A goroutine of its own sees that
// what was written reaches the disk, so that the writer does not wait for it.
type file struct {
	*os.File
	size  atomic.Int64
	dirty atomic.Bool
	stop  chan struct{}
	done  sync.WaitGroup
	once  sync.Once
	err   error
}

func newFile(f *os.File) *file {
	out := &file{File: f, stop: make(chan struct{})}
	out.done.Go(out.run)
	return out
}

func (f *file) run() {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-tick.C:
			if f.dirty.Swap(false) {
				_ = syscall.Fdatasync(int(f.Fd())) // what fails here fails in Close as well
			}
		}
	}
}

// Write implements io.Writer.
func (f *file) Write(b []byte) (int, error) {
	return f.WriteAt(b, f.size.Load())
}

// WriteAt implements io.WriterAt.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	f.dirty.Store(true)
	if end := at + int64(n); end > f.size.Load() {
		f.size.Store(end) // there is one writer
	}
	return n, err
}

// Close sees the file to the disk. It may be called twice.
func (f *file) Close() error {
	f.once.Do(func() {
		close(f.stop)
		f.done.Wait()
		f.err = errors.Join(f.Sync(), f.File.Close())
	})
	return f.err
}

var _ interface {
	io.Writer
	io.WriterAt
} = (*file)(nil)

// free returns how many bytes a folder's file system has left for us.
func free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}
