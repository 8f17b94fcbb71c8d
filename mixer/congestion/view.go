package congestion

import "time"

// view is what the newest packets tell.
type view struct {
	queue, before time.Duration // standing now, and one window earlier
	some          bool          // whether queue is known
	rate          float64       // that the link took while its queue did not empty, bit/s; 0: it was
	measured      int           // by so many packets
	sent          float64       // in the last second beside probes, bit/s
	newest        time.Duration // when the newest packet that came was sent
	n, lost       int           // of the loss window, while no queue stood
	runs          int           // of losses without one that came between
	full, over    int           // packets of its newest half that met a queue, and lost ones beside them
	all, gone     int           // of its newest half, in all
}

// look reads the newest packets, newest first.
func (e *Estimator) look(now time.Duration) (v view) {
	base, low, busyFloor := e.base.value(), e.low(), e.high()*2/5
	var (
		least, earlier  = never, never
		count, count2   int
		closed, closed2 bool
		end             time.Duration // sent, of the newest packet
		busy            = true
		bytes, half     int64
		from, to        = never, -never
		firstSize       int32
		inBusy          int
		goneBusy        int
		goneBytes       int64         // lost while the link was busy
		gone            bool          // the nearest newer one was lost
		beside          time.Duration // queue of the nearest newer packet that came
	)
	for n := e.flight.seen; n >= e.flight.oldest(); n-- {
		p := e.flight.find(n)
		if p == nil {
			continue
		}
		if p.fate == unknown {
			if busy && inBusy > 0 {
				bytes += int64(p.size) // its feedback was lost, not the packet
			}
			if end-p.at <= lossWindow/2 && end > 0 && p.probe == 0 {
				half += int64(p.size)
			}
			continue
		}
		if end == 0 {
			end = p.at
			v.newest = end
		}
		age := end - p.at
		if age > lossWindow {
			break
		}
		if age <= lossWindow/2 && p.probe == 0 {
			half += int64(p.size)
		}
		if p.fate == arrived {
			beside = p.delay - base
		}
		if p.at >= e.loss.from {
			v.count(p.fate == lost, p.probe > 0, beside > low, age <= lossWindow/2)
			if p.fate == lost && !gone {
				v.runs++
			}
			gone = p.fate == lost
		}
		if p.fate == lost {
			if busy {
				goneBytes += int64(p.size)
				goneBusy++
			}
			continue
		}
		q := p.delay - base
		switch {
		case !closed:
			least = min(least, q)
			count++
			closed = count >= perWindow && age >= oneWindow || age > maxWindow
		case !closed2:
			earlier = min(earlier, q)
			count2++
			closed2 = count2 >= count
		}
		if busy = busy && q >= busyFloor && age <= busyWindow; busy {
			at := p.at + p.delay
			if at < from {
				from, firstSize = at, p.size
			}
			to = max(to, at)
			bytes += int64(p.size)
			inBusy++
		}
	}
	v.some = closed || count >= perWindow
	v.queue, v.before = least, earlier
	v.sent = float64(half) * 8 / (lossWindow / 2).Seconds()
	if span := to - from; inBusy >= perWindow && span >= 200*time.Millisecond || inBusy >= 2*perWindow && span >= oneWindow {
		// What radio lost took its time in the link, what found no room did not.
		if float64(goneBusy) <= (e.loss.inherent+0.15)*float64(inBusy+goneBusy) {
			bytes += goneBytes
		} else {
			bytes = int64(float64(bytes) / (1 - e.loss.inherent))
		}
		v.rate, v.measured = float64(bytes-int64(firstSize))*8/span.Seconds(), inBusy
	}
	return v
}

// deepest is the share of the estimate that has to be left by one measurement: few
// packets measure badly, and more will follow. Many say what there is, and whoever has
// to go down by several tiers shall do so at once.
func (v *view) deepest() float64 {
	switch {
	case v.measured < 2*perWindow:
		return 0.8
	case v.measured < surely:
		return 0.5
	}
	return 0.1
}

// count takes one packet into the view's losses: those beside a queue may be its
// overflow, those of a probe its excess, and the others are the link's own.
func (v *view) count(lost, probe, queued, fresh bool) {
	one := 0
	if lost {
		one = 1
	}
	if fresh {
		v.all++
		v.gone += one
		if queued {
			v.full++
			v.over += one
		}
	}
	if !queued && !probe {
		v.n++
		v.lost += one
	}
}
