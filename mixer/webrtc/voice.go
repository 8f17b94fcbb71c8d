package webrtc

import (
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

// voice is a source's sound behind its jitter buffer. Packets are pushed by
// pion's goroutine, the room's sound clock pulls.
type voice struct {
	clock *jitter.Sender

	mu      sync.Mutex // held while decoding: a Playout is pulled and closed by one at a time
	codec   *codec.Codec
	format  codec.AudioFormat
	playout *jitter.Playout
	closed  bool
	former  mixer.VoiceStats // of playouts before this one
}

var (
	_ mixer.Voice      = (*voice)(nil)
	_ mixer.VoiceMeter = (*voice)(nil)
)

func newVoice(c *codec.Codec, clock *jitter.Sender) *voice {
	v := &voice{clock: clock}
	v.use(c, 1)
	return v
}

// use begins with another codec or number of channels. The caller holds mu.
func (v *voice) use(c *codec.Codec, channels int) {
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

// push takes a packet and the copies of earlier ones that came in it.
func (v *voice) push(c *codec.Codec, p *rtp.Packet, copies []jitter.Block, level float64, now time.Time) {
	v.mu.Lock()
	if c != v.codec && !v.closed {
		v.use(c, v.format.Channels)
	}
	playout := v.playout
	v.mu.Unlock()
	playout.PushCopies(p, copies, level, now)
}

// nacks appends what to ask the sender for again.
func (v *voice) nacks(dst []uint16, rtt time.Duration, now time.Time) []uint16 {
	v.mu.Lock()
	playout := v.playout
	v.mu.Unlock()
	return playout.Nacks(dst, rtt, now)
}

// VoiceStats implements mixer.VoiceMeter.
func (v *voice) VoiceStats() mixer.VoiceStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.stats()
}

// stats returns the figures so far. The caller holds mu.
func (v *voice) stats() mixer.VoiceStats {
	s := v.playout.Stats()
	return mixer.VoiceStats{
		Delay: s.Delay, Target: s.Target,
		Concealed: v.former.Concealed + s.Concealed,
		Stretched: v.former.Stretched + s.Inserted + s.Removed,
		Late:      v.former.Late + s.Late,
		Estimated: s.Estimated,
	}
}

func (v *voice) senderReport(r *rtcp.SenderReport, now time.Time) {
	v.mu.Lock()
	playout := v.playout
	v.mu.Unlock()
	playout.SenderReport(r.NTPTime, r.RTPTime, now)
}

// Pull implements mixer.Voice. The room's format shows in the length of pcm.
func (v *voice) Pull(pcm []int16) mixer.Heard {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(pcm) / (soundRate / 50); n != v.format.Channels && n > 0 && !v.closed {
		v.use(v.codec, n)
	}
	return mixer.Heard(v.playout.Pull(pcm, time.Now()))
}

// close ends the decoder; what is pulled from then on is silence.
func (v *voice) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	_ = v.playout.Close()
}
