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

// voice is a source's sound behind its jitter buffer. Packets are pushed by
// pion's goroutine, the room's sound clock pulls.
type voice struct {
	format codec.AudioFormat
	clock  *jitter.Sender

	mu      sync.Mutex // held while decoding: a Playout is pulled and closed by one at a time
	codec   *codec.Codec
	playout *jitter.Playout
	closed  bool
}

var _ mixer.Voice = (*voice)(nil)

func newVoice(c *codec.Codec, format codec.AudioFormat, clock *jitter.Sender) *voice {
	v := &voice{format: format, clock: clock}
	v.use(c)
	return v
}

// use begins with another codec. The caller holds mu.
func (v *voice) use(c *codec.Codec) {
	if v.playout != nil {
		_ = v.playout.Close()
	}
	v.codec = c
	v.playout = jitter.NewPlayout(jitter.PlayoutConfig{
		AudioFormat: v.format, ClockRate: int(c.ClockRate), Sender: v.clock,
	}, func() (codec.AudioDecoder, error) { return c.NewAudioDecoder(v.format) })
}

func (v *voice) push(c *codec.Codec, p *rtp.Packet, level float64, now time.Time) {
	v.mu.Lock()
	if c != v.codec && !v.closed {
		v.use(c)
	}
	playout := v.playout
	v.mu.Unlock()
	playout.Push(p, level, now)
}

func (v *voice) senderReport(r *rtcp.SenderReport, now time.Time) {
	v.mu.Lock()
	playout := v.playout
	v.mu.Unlock()
	playout.SenderReport(r.NTPTime, r.RTPTime, now)
}

// Pull implements mixer.Voice.
func (v *voice) Pull(pcm []int16) mixer.Heard {
	v.mu.Lock()
	defer v.mu.Unlock()
	return mixer.Heard(v.playout.Pull(pcm, time.Now()))
}

// close ends the decoder; what is pulled from then on is silence.
func (v *voice) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	_ = v.playout.Close()
}
