package jitter

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// dial is a decoder whose samples tell when they were captured: ms, modulo
// dialTurn. What it makes up is zero.
type dial struct{ ch int }

const (
	dialTurn = 20_000
	dialZero = 5000
)

func (d dial) Samples(p []byte) (int, error) { return int(p[4]) * 480, nil }
func (d dial) Decode(p []byte, pcm []int16) (int, error) {
	n, _ := d.Samples(p)
	at := int(p[0])<<24 | int(p[1])<<16 | int(p[2])<<8 | int(p[3])
	for i := range n * d.ch {
		pcm[i] = int16((at+i/d.ch/48)%dialTurn + dialZero)
	}
	return n, nil
}
func (d dial) DecodeFEC(_ []byte, pcm []int16) error { clear(pcm); return nil }
func (d dial) Conceal(pcm []int16) error             { clear(pcm); return nil }
func (d dial) Close() error                          { return nil }

// meeting is a sender of pictures and sound and what becomes of them.
type meeting struct {
	t      *testing.T
	r      *rand.Rand
	jitter func(now int) int // the most of it, ms
	every  int               // between reports, ms; 0 for none
	ntp    time.Time         // of the sender's clock at 0
	loss   float64
	a      *Assembler
	p      *Playout
	now    int
	vts    uint32
	ats    uint32
	air    map[int][]func(now time.Time)
	seen   []codec.Unit
	seenAt []int // their capture

	checked, unknown int
	worst            time.Duration
}

func newMeeting(t *testing.T, seed uint64) *meeting {
	var sender Sender
	m := &meeting{
		t: t, r: rand.New(rand.NewPCG(seed, 10)), every: 1000, ntp: time.Date(2031, 5, 5, 0, 0, 0, 0, time.UTC),
		a: NewAssembler(AssemblerConfig{Sender: &sender}), vts: 1<<32 - 900_000, ats: 1<<32 - 100_000,
		air: map[int][]func(time.Time){}, jitter: func(int) int { return 0 },
	}
	m.p = NewPlayout(PlayoutConfig{Sender: &sender}, func() (codec.AudioDecoder, error) { return dial{1}, nil })
	return m
}

func (m *meeting) send(f func(time.Time)) {
	at := m.now + 20 + m.r.IntN(m.jitter(m.now)+1)
	m.air[at] = append(m.air[at], f)
}

// run passes time and compares, in every pull, what is said of the sample that
// plays with what was said of the last picture before it.
func (m *meeting) run(length int) {
	pcm := make([]int16, 960)
	for end := m.now + length; m.now < end; m.now++ {
		now := m.now
		vts, ats := m.vts+uint32(90*now), m.ats+uint32(48*now)
		if now%40 == 0 {
			p := &rtp.Packet{Header: rtp.Header{SSRC: 1, SequenceNumber: uint16(now / 40), Timestamp: vts, Marker: true},
				Payload: append([]byte{toyBegins, 0, 0, 'K'}, byte(now>>24), byte(now>>16), byte(now>>8), byte(now))}
			m.send(func(at time.Time) { m.units(m.a.Push(toyCodec, p, at)) })
		}
		if now%20 == 0 && m.r.Float64() >= m.loss {
			p := &rtp.Packet{Header: rtp.Header{SSRC: 2, SequenceNumber: uint16(now / 20), Timestamp: ats},
				Payload: []byte{byte(now >> 24), byte(now >> 16), byte(now >> 8), byte(now), 2}}
			m.send(func(at time.Time) { m.p.Push(p, silence, at) })
		}
		ntp := ToNTP(m.ntp.Add(time.Duration(now) * time.Millisecond))
		if m.every > 0 && now%m.every == 300 {
			m.send(func(at time.Time) { m.a.SenderReport(ntp, vts, at) })
		}
		if m.every > 0 && now%m.every == 300+m.every/2 {
			m.send(func(at time.Time) { m.p.SenderReport(ntp, ats, at) })
		}
		for _, f := range m.air[now] {
			f(ms(now))
		}
		delete(m.air, now)
		if now%20 == 7 {
			units, _, _ := m.a.Tick(ms(now))
			m.units(units)
			m.compare(m.p.Pull(pcm, ms(now)), int(pcm[0]))
		}
	}
}

func (m *meeting) units(us []codec.Unit) {
	for _, u := range us {
		d := u.Data[1:]
		m.seen = append(m.seen, u)
		m.seenAt = append(m.seenAt, int(d[0])<<24|int(d[1])<<16|int(d[2])<<8|int(d[3]))
	}
}

func (m *meeting) compare(h Heard, sample int) {
	if h.Concealed > 0 || sample < dialZero {
		return
	}
	captured := sample - dialZero + m.now/dialTurn*dialTurn
	if captured > m.now {
		captured -= dialTurn
	}
	for i := len(m.seen) - 1; i >= 0; i-- {
		if m.seenAt[i] > captured {
			continue
		}
		u := m.seen[i]
		if u.Captured.IsZero() || h.Playing.IsZero() {
			m.unknown++
			return
		}
		apart := h.Playing.Sub(u.Captured) - time.Duration(captured-m.seenAt[i])*time.Millisecond
		m.checked++
		m.worst = max(m.worst, apart.Abs())
		return
	}
}

// expect holds the last run against a bound.
func (m *meeting) expect(what string, known bool, bound time.Duration) {
	m.t.Helper()
	s := m.p.Stats()
	m.t.Logf("%s: %d pulls, at most %v apart; %v stretched", what, m.checked, m.worst, s.Inserted+s.Removed)
	switch {
	case known && (m.checked < 50 || m.unknown > 0):
		m.t.Errorf("%s: %d pulls compared, %d unknown", what, m.checked, m.unknown)
	case !known && m.checked > 0:
		m.t.Errorf("%s: %d pulls are said to be known", what, m.checked)
	case m.worst > bound:
		m.t.Errorf("%s: picture and sound are %v apart", what, m.worst)
	}
	m.checked, m.unknown, m.worst = 0, 0, 0
}

// The sample that plays and the pictures are on one line, whatever the network,
// the stretching of sound and the sender's clock do.
func TestOneLineOfTime(t *testing.T) {
	for seed, jitter := range []int{0, 100, 300} {
		for _, every := range []int{1000, 5000} {
			name := fmt.Sprintf("jitter %d ms, reports every %d ms", jitter, every)
			m := newMeeting(t, uint64(seed))
			m.every = every
			m.jitter = func(now int) int { return jitter }
			m.run(250)
			m.expect(name+", before the first", false, 0)
			m.run(2*every + 1000)
			m.checked, m.unknown, m.worst = 0, 0, 0
			m.run(20_000)
			m.expect(name, true, 5*time.Millisecond)
			m.jitter = func(now int) int { return jitter * (now / 4000 % 2) } // sound is stretched back and forth
			m.run(30_000)
			m.expect(name+", on and off", true, 5*time.Millisecond)
			m.jitter = func(now int) int { return jitter }
			m.loss = 0.1
			m.run(10_000)
			m.expect(name+", loss", true, 5*time.Millisecond)
			m.loss = 0
			for _, jump := range []time.Duration{time.Hour, -time.Hour, time.Second, -time.Second, -400 * time.Millisecond} {
				m.ntp = m.ntp.Add(jump)
				m.run(2*every + 5000)
				m.expect(fmt.Sprintf("%s, clock set by %v", name, jump), true, 5*time.Millisecond)
			}
		}
	}
}

// Without reports the fastest packets of both tracks are taken to have been as
// fast, and the figures say so.
func TestNoReports(t *testing.T) {
	for seed, jitter := range []int{0, 100, 300} {
		m := newMeeting(t, uint64(seed))
		m.every = 0
		m.jitter = func(int) int { return jitter }
		m.run(5000)
		m.expect("before it is clear", false, 0)
		if m.p.Stats().Estimated || m.a.Stats().Estimated {
			t.Error("estimated too soon")
		}
		m.run(5000)
		m.checked, m.unknown, m.worst = 0, 0, 0
		m.run(30_000)
		m.expect(fmt.Sprintf("jitter %d ms", jitter), true, 5*time.Millisecond+time.Duration(jitter)*time.Millisecond/25)
		if !m.p.Stats().Estimated || !m.a.Stats().Estimated {
			t.Error("estimated, and not said so")
		}
		m.every = 1000
		m.run(5000)
		m.checked, m.unknown, m.worst = 0, 0, 0
		m.run(5000)
		m.expect("reports after all", true, 5*time.Millisecond)
		if m.p.Stats().Estimated || m.a.Stats().Estimated {
			t.Error("still said to be estimated")
		}
	}
}
