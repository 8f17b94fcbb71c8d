package mixer

import "sync"

// pool decodes for all rooms with a fixed number of threads. A publication
// stands in its line at most once, so its units stay in order and no sender
// holds more than one thread.
type pool struct {
	mu     sync.Mutex
	wake   *sync.Cond
	line   []*Publication
	closed bool
	wg     sync.WaitGroup
}

func newPool(workers int) *pool {
	p := &pool{}
	p.wake = sync.NewCond(&p.mu)
	p.wg.Add(workers)
	for range workers {
		go p.work()
	}
	return p
}

// add puts a publication in line. The caller makes sure it is not there.
func (p *pool) add(pub *Publication) {
	p.mu.Lock()
	p.line = append(p.line, pub)
	p.mu.Unlock()
	p.wake.Signal()
}

func (p *pool) work() {
	defer p.wg.Done()
	mediaThread()
	for {
		p.mu.Lock()
		for len(p.line) == 0 && !p.closed {
			p.wake.Wait()
		}
		if len(p.line) == 0 {
			p.mu.Unlock()
			return
		}
		pub := p.line[0]
		p.line[0] = nil
		p.line = p.line[1:]
		p.mu.Unlock()
		if pub.decodeNext() {
			p.add(pub)
		}
	}
}

// close lets the line run empty and waits. No publication may be added after.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.wake.Broadcast()
	p.wg.Wait()
}
