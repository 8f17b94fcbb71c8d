package webrtc

import (
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"mixdown/mixer"
	"mixdown/mixer/congestion"
)

const (
	// A client that agreed on transport-wide feedback and sends none is sent to
	// like one that did not agree on it.
	feedbackWithin = 3 * time.Second
	// Who sends no reports either may be unable to: then its link is not one for
	// bursts.
	wordWithin = 10 * time.Second
	// A newcomer gets pictures as soon as anything is known of its link: while that
	// turns out to carry ever more, of the tier it asked for, at the rate that is
	// known so far.
	startWithin = 5 * time.Second
	risesFrom   = 100_000 // bit/s: on less a keyframe of it takes many seconds
	// Browsers hold sound back until the latest of the pictures is there. Who has not
	// the tier it asked for gets pictures late, by up to half a second, so it is not
	// told when they were made, and hears sound as soon as it comes. A browser that was
	// told once goes by that for good, and by the line through the last 20 reports: it is told
	// that pictures were made later, by lead; and as that is reached only by many
	// reports, they come more often for a while.
	lead = 300 * time.Millisecond
	// Sound leaves a browser's loudspeaker 50 to 70 ms behind its picture even if it has
	// passed no network. Nobody notices from 95 ms behind to 25 ms ahead (ITU-R BT.1359),
	// so all are told of pictures as made this much later: the middle comes nearer, and a
	// browser that keeps the two together exactly stays within.
	behind    = 20 * time.Millisecond
	leadHurry = 8 * time.Second
)

// cargo is what waits in a link's pacer.
type cargo struct {
	packet *mixer.Packet // nil: a repeated one
	seq    uint16        // of that
	size   int           // on the wire
}

// flow is what is known of the link to one client, and what waits for it. It
// belongs to the sink and is used under its lock.
type flow struct {
	link  *congestion.Link[cargo]
	wide  uint16 // next transport-wide number
	agree bool   // the client sends transport-wide feedback, or so it says

	began    time.Time   // when the sink came into its room
	heard    time.Time   // the client's last feedback of any kind
	exact    bool        // it was transport-wide
	spoke    bool        // any RTCP came
	tcp      bool        // nothing is lost, so that reports alone tell nothing
	governs  bool        // pictures go at the link's pace
	paced    atomic.Bool // governs, for who does not hold the sink's lock
	estimate congestion.Estimate
	choice   congestion.Choice
	rose     bool      // it turned out to carry more before anything was chosen
	fitted   mixer.Fit // that the room was told
	told     bool
	dropped  uint64    // pictures that are counted
	stepped  bool      // the client was told when pictures were made
	leads    bool      // and is told now that it was later
	led      time.Time // when that changed
	list     []cargo
}

// rungs is the room's ladder as congestion control sees it.
func rungs(r mixer.Rungs) congestion.Rungs {
	out := congestion.Rungs{FECLoss: []float64{0, 0.1}}
	for _, t := range r.Tiers {
		out.Tiers = append(out.Tiers, congestion.Tier{Name: t.Name, Bitrate: t.Bitrate, FPS: float64(t.FPS), Payload: t.MTU})
	}
	for _, t := range r.Tones {
		out.Tones = append(out.Tones, congestion.Tone{Bitrate: t.Bitrate, Packet: t.Packet})
	}
	return out
}

// feedbackEvery is how often the client is told what of it has come in: what that
// takes is missing for its sound.
func (p *peer) feedbackEvery() time.Duration {
	const size = 110 * 8 // bits
	if p.sink == nil || p.sink.flow == nil {
		return feedbackEvery
	}
	s := p.sink
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.flow.governs:
		return feedbackEvery
	case !s.flow.estimate.Known:
		return feedbackFirst
	}
	every := time.Duration(size / (feedbackShare * float64(s.flow.estimate.Rate)) * float64(time.Second))
	return min(max(every, feedbackEvery), feedbackLeast)
}

// reportEvery is how often reports go to the client.
func (p *peer) reportEvery() time.Duration {
	if p.feedbackEvery() > 2*feedbackEvery {
		return reportSeldom
	}
	return reportEvery
}

// limits leave room above the best rung, so that a good link is known as one.
func limits(r congestion.Rungs) congestion.Limits {
	l := congestion.DefaultLimits()
	if len(r.Tiers) > 0 {
		l.Max = max(l.Max, 5*r.Tiers[0].Wire(0))
	}
	return l
}

func newFlow(rungs congestion.Rungs, agree bool) *flow {
	f := &flow{agree: agree}
	l := limits(rungs)
	if !agree && len(rungs.Tiers) > 0 {
		// Reports tell little and late: enough is taken for granted until they
		// show that it is not.
		l.Start = min(rungs.Tiers[0].Wire(0)*3/2, l.Max)
	}
	f.link = congestion.NewLink(rungs, l, func(c cargo) int { return c.size })
	f.choice = f.link.Choice()
	return f
}

func wireSize(p *mixer.Packet) int { return congestion.Overhead + len(p.Payload) }

// begin says that the sink comes into its room, and returns what it is to have
// until more is known: the least sound, if its link is going to be.
func (f *flow) begin(now time.Time) (fit mixer.Fit) {
	f.began = now
	if f.govern(f.agree); f.governs {
		fit = mixer.Fit{Tier: f.choice.Tier, Tone: f.choice.Tone}
	}
	f.fitted, f.told = fit, f.governs
	return fit
}

func (f *flow) govern(yes bool) {
	f.governs = yes
	f.paced.Store(yes)
}

// sent notes a packet that is about to be written, and returns its
// transport-wide number.
func (f *flow) sent(size int, now time.Time) uint16 {
	n := f.wide
	f.wide++
	f.link.Sent(n, size, now)
	return n
}

// step brings the link up to now.
func (f *flow) step(now time.Time) {
	if f.began.IsZero() {
		return
	}
	within := wordWithin
	if f.spoke {
		within = feedbackWithin
	}
	f.govern((f.agree || !f.tcp) && (!f.heard.IsZero() || f.agree && now.Sub(f.began) < within))
	if !f.governs {
		return
	}
	f.choice = f.link.Step(now)
	f.estimate = f.link.Estimate(now)
	f.rose = (f.rose || f.estimate.Rising) && !f.estimate.Congested
}

// rises reports whether the client's first tier is not chosen yet because its
// link carries ever more.
func (f *flow) rises(now time.Time) bool {
	return f.choice.Tier < 0 && f.estimate.Known && f.rose && f.estimate.Rate > risesFrom && now.Sub(f.began) < startWithin
}

// fit returns what the room has to be told.
func (f *flow) fit(now time.Time) (fit mixer.Fit, due bool) {
	switch {
	case f.began.IsZero(), !f.governs && !f.told:
		return fit, false
	case f.governs && f.rises(now):
		fit = mixer.Fit{Tone: f.choice.Tone, Loss: f.choice.FEC, Lossy: f.choice.Lossy}
	case f.governs:
		fit = mixer.Fit{Tier: f.choice.Tier, Tone: f.choice.Tone, Loss: f.choice.FEC, Lossy: f.choice.Lossy}
	}
	if f.told && fit == f.fitted {
		return fit, false
	}
	f.fitted, f.told = fit, true
	return fit, true
}

// inStep reports whether the client is to know when pictures were made, and by how
// much later than it was.
func (f *flow) inStep(now time.Time) (told bool, later time.Duration) {
	// Before the first choice it is not known yet what they will be.
	below := f.governs && (f.choice.Tier < 0 || f.choice.Tier > f.link.Best())
	if f.stepped = f.stepped || !below; f.stepped && f.leads != below {
		f.leads, f.led = below, now
	}
	later = behind
	if f.leads {
		later = lead
	}
	return f.stepped, later
}

// picture queues one and reports whether it was taken.
func (f *flow) picture(picture []*mixer.Packet, joins bool, now time.Time) bool {
	if f.choice.Tier < 0 && !f.rises(now) {
		return false
	}
	f.list = f.list[:0]
	for _, p := range picture {
		f.list = append(f.list, cargo{packet: p, size: wireSize(p)})
	}
	before := f.link.Dropped + f.link.DroppedLayers
	first := picture[0]
	f.link.Video(congestion.Picture{Keyframe: first.Keyframe || joins, Temporal: first.Temporal, Stream: first.Stream}, f.list, now)
	clear(f.list)
	return f.link.Dropped+f.link.DroppedLayers == before
}

// busy reports whether anything waits for its time.
func (f *flow) busy(now time.Time) bool { return f.governs && f.link.Wake(now) >= 0 }

// lost returns how many pictures did not go out since it was last asked.
func (f *flow) lost() uint64 {
	all := f.link.Dropped + f.link.DroppedLayers
	n := all - f.dropped
	f.dropped = all
	return n
}

// handle takes feedback about one stream.
func (f *flow) handle(o *outgoing, p rtcp.Packet, now time.Time) error {
	if f.began.IsZero() {
		return nil
	}
	f.spoke = true
	switch p := p.(type) {
	case *rtcp.TransportLayerCC:
		if f.agree && p.MediaSSRC == o.ssrc {
			f.heard, f.exact = now, true
			return f.link.Feedback(p, now)
		}
	case *rtcp.ReceiverEstimatedMaximumBitrate:
		if f.coarse(now) {
			f.heard = now
			f.link.REMB(int(p.Bitrate), now)
		}
	case *rtcp.ReceiverReport:
		f.reports(o, p.Reports, now)
	case *rtcp.SenderReport:
		f.reports(o, p.Reports, now)
	}
	return nil
}

// coarse reports whether there is nothing better than reports.
func (f *flow) coarse(now time.Time) bool {
	return !f.exact && (!f.agree || now.Sub(f.began) > feedbackWithin)
}

func (f *flow) reports(o *outgoing, rs []rtcp.ReceptionReport, now time.Time) {
	for _, r := range rs {
		if r.SSRC == o.ssrc && f.coarse(now) {
			f.heard = now
			f.link.ReceiverReport(float64(r.FractionLost)/256, time.Duration(o.quality.rtt.Load()), now)
		}
	}
}
