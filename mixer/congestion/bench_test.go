package congestion

import (
	"testing"
	"time"
)

// BenchmarkFeedback is one report of 20 packets on a link of 1.6 Mbit/s, 10 a
// second, with their sending.
func BenchmarkFeedback(b *testing.B) {
	e := NewEstimator(DefaultLimits())
	e.rate = 2e6
	reports := make([]Report, 20)
	var now time.Duration
	var seq uint16
	b.ReportAllocs()
	for b.Loop() {
		for i := range reports {
			e.Sent(seq, 1000, moment(now))
			reports[i] = Report{seq, true, now + 50*ms}
			seq++
			now += 5 * ms
		}
		e.Reports(reports, moment(now+50*ms))
	}
}

// BenchmarkPacer is one packet in and out, a picture of five at a time.
func BenchmarkPacer(b *testing.B) {
	p := newTestPacer(10_000_000)
	list := packets(5, 1000)
	var now time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%5 == 0 {
			p.Video(Picture{Keyframe: i == 0, Stream: 1}, list, moment(now))
		}
		now += ms
		p.Next(moment(now))
	}
}

// BenchmarkStep is one look at everything, 20 a second.
func BenchmarkStep(b *testing.B) {
	l := NewLink(defaultRungs(vp8), DefaultLimits(), func(p *pkt) int { return p.size })
	var now time.Duration
	b.ReportAllocs()
	for b.Loop() {
		now += stepEvery
		l.Step(moment(now))
	}
}

// BenchmarkMinute is a minute of one client on a link of 1 Mbit/s with the whole
// model around it.
func BenchmarkMinute(b *testing.B) {
	w := link(1e6, 50*ms, 0.01)
	w.length = time.Minute
	for b.Loop() {
		run(w, 1)
	}
}
