package cast

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"mixdown/codec"
)

const (
	// mostBehind is how far a target may be behind before it goes on at the next
	// keyframe.
	mostBehind = 4 * time.Second
	// mostBytes bounds it as well.
	mostBytes = 16 << 20
)

// piece is one unit of a programme. Its data are shared by all branches.
type piece struct {
	codec.Unit
	track    int
	pts, dur time.Duration
}

// key reports whether a target can begin with it.
func (p piece) key() bool { return p.track == 0 && p.Keyframe }

// branch is one target's queue behind a trunk. What does not fit is dropped whole,
// up to the next keyframe.
type branch struct {
	mu      sync.Mutex
	queue   []piece
	bytes   int
	closed  bool // takes nothing, as before a connection is there
	waits   bool // for a keyframe
	flows   bool // something was taken: what is dropped from now on is the target's fault
	wake    chan struct{}
	dropped atomic.Uint64
}

func newBranch() *branch { return &branch{closed: true, wake: make(chan struct{}, 1)} }

// open empties the branch, which takes what comes from the next keyframe on.
func (b *branch) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	b.closed, b.waits, b.flows = false, true, false
}

func (b *branch) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	b.closed = true
}

// clear forgets what waits. The caller holds mu.
func (b *branch) clear() { b.queue, b.bytes = nil, 0 }

// drop counts. The caller holds mu.
func (b *branch) drop(n int) {
	if b.flows {
		b.dropped.Add(uint64(n))
	}
}

// put never blocks.
func (b *branch) put(p piece) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if full := len(b.queue) > 0 && p.pts-b.queue[0].pts > mostBehind || b.bytes > mostBytes; full {
		b.drop(len(b.queue))
		b.clear()
		b.waits = true
	}
	if b.waits && !p.key() {
		b.drop(1)
		return
	}
	b.waits = false
	b.queue = append(b.queue, p)
	b.bytes += len(p.Data)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns the next piece, or false when ctx ends.
func (b *branch) take(ctx context.Context) (piece, bool) {
	for {
		b.mu.Lock()
		if len(b.queue) > 0 {
			p := b.queue[0]
			b.flows = true
			b.queue[0] = piece{}
			b.queue = b.queue[1:]
			b.bytes -= len(p.Data)
			b.mu.Unlock()
			return p, true
		}
		b.mu.Unlock()
		select {
		case <-b.wake:
		case <-ctx.Done():
			return piece{}, false
		}
	}
}
