// Package stream has what transports share that carry RTP: one sender's sound as
// a mixer.Voice, what is told of an incoming stream, and how a stream goes on where
// its encoder changes.
package stream

import (
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/jitter"
)

// soundRate is the rate that rooms mix at, Hz.
const soundRate = 48000

// Voice is a source's sound behind its jitter buffer. Packets are pushed by
// the transport's goroutine, the room's sound clock pulls.
type Voice struct {
	clock *jitter.Sender

	mu      sync.Mutex // held while decoding: a Playout is pulled and closed by one at a time
	codec   *codec.Codec
	format  codec.AudioFormat
	playout *jitter.Playout
	closed  bool
	former  mixer.VoiceStats // of playouts before this one
}

var (
	_ mixer.Voice      = (*Voice)(nil)
	_ mixer.VoiceMeter = (*Voice)(nil)
)

// NewVoice returns the voice of a sender whose clock is that of its pictures too.
func NewVoice(c *codec.Codec, clock *jitter.Sender) *Voice {
	v := &Voice{clock: clock}
	v.use(c, 1)
	return v
}

// use begins with another codec or number of channels. The caller holds mu.
func (v *Voice) use(c *codec.Codec, channels int) {
	if v.playout != nil {
		v.former = v.stats()
		_ = v.playout.Close()
	}
	format := codec.AudioFormat{Rate: soundRate, Channels: channels}
	v.codec, v.format = c, format
	v.playout = jitter.NewPlayout(jitter.PlayoutConfig{
		AudioFormat: format, ClockRate: int(c.ClockRate), Sender: v.clock,
	}, func() (codec.AudioDecoder, error) { return c.NewAudioDecoder(format) })
}

// Push takes a packet and the copies of earlier ones that came in it. It reports
// whether the packet came because it was asked for.
func (v *Voice) Push(c *codec.Codec, p *rtp.Packet, copies []jitter.Block, level float64, now time.Time) (again bool) {
	v.mu.Lock()
	if c != v.codec && !v.closed {
		v.use(c, v.format.Channels)
	}
	playout := v.playout
	v.mu.Unlock()
	return playout.PushCopies(p, copies, level, now)
}

// tapped is a room's Publication that shows sound as it came in.
type tapped interface {
	Tapped() bool
	WriteSound(u codec.Unit)
}

// Show gives a packet that was pushed to who taps pub, with its time of capture.
func (v *Voice) Show(pub any, c *codec.Codec, p *rtp.Packet, now time.Time) {
	t, ok := pub.(tapped)
	if !ok || !t.Tapped() || len(p.Payload) == 0 {
		return
	}
	v.mu.Lock()
	captured := v.playout.Captured(p.Timestamp)
	v.mu.Unlock()
	t.WriteSound(codec.Unit{
		Codec: c, Data: slices.Clone(p.Payload), Keyframe: true, Timestamp: p.Timestamp, Arrived: now, Captured: captured,
	})
}

// PushNoise takes a packet that says how a pause sounds (RFC 3389).
func (v *Voice) PushNoise(p *rtp.Packet, now time.Time) {
	v.mu.Lock()
	playout := v.playout
	v.mu.Unlock()
	playout.PushNoise(p, now)
}

// Channels are those that the room pulled last.
func (v *Voice) Channels() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.format.Channels
}

// Stats are the figures of the newest playout.
func (v *Voice) Stats() jitter.PlayoutStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.playout.Stats()
}

// Nacks appends what to ask the sender for again.
func (v *Voice) Nacks(dst []uint16, rtt time.Duration, now time.Time) []uint16 {
	v.mu.Lock()
	playout := v.playout
	v.mu.Unlock()
	return playout.Nacks(dst, rtt, now)
}

// VoiceStats implements mixer.VoiceMeter.
func (v *Voice) VoiceStats() mixer.VoiceStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.stats()
}

// stats returns the figures so far. The caller holds mu.
func (v *Voice) stats() mixer.VoiceStats {
	s := v.playout.Stats()
	return mixer.VoiceStats{
		Delay: s.Delay, Target: s.Target,
		Concealed: v.former.Concealed + s.Concealed,
		Stretched: v.former.Stretched + s.Inserted + s.Removed,
		Late:      v.former.Late + s.Late,
		Estimated: s.Estimated,
	}
}

// SenderReport takes one of this track.
func (v *Voice) SenderReport(r *rtcp.SenderReport, now time.Time) {
	v.mu.Lock()
	playout := v.playout
	v.mu.Unlock()
	playout.SenderReport(r.NTPTime, r.RTPTime, now)
}

// Pull implements mixer.Voice. The room's format shows in the length of pcm.
func (v *Voice) Pull(pcm []int16) mixer.Heard {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(pcm) / (soundRate / 50); n != v.format.Channels && n > 0 && !v.closed {
		v.use(v.codec, n)
	}
	return mixer.Heard(v.playout.Pull(pcm, time.Now()))
}

// Close ends the decoder; what is pulled from then on is silence.
func (v *Voice) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	_ = v.playout.Close()
}
