package rtp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

const (
	promptRate = 48_000
	promptTick = 20 * time.Millisecond
)

var errReplaced = errors.New("another prompt began")

// Play sends a prompt in place of the room's sound, mono at 48 kHz, and returns when
// it has been sent, ctx ends or the leg does. A second Play ends the first. Before
// sound was agreed on, or while the leg is held, time passes without a sound.
func (l *Leg) Play(ctx context.Context, pcm []int16) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	if l.silent != nil {
		l.silent(errReplaced)
	}
	l.silent = cancel
	l.mu.Unlock()
	l.play.Lock()
	defer l.play.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.sink.prompting(true)
	defer l.sink.prompting(false)

	p := prompt{leg: l}
	defer p.close()
	next := time.Now()
	tick := time.NewTimer(0)
	defer tick.Stop()
	for len(pcm) > 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.done:
			return errEnded
		case <-tick.C:
		}
		n := min(len(pcm), promptRate/50)
		frame := append(slices.Clone(pcm[:n]), make([]int16, promptRate/50-n)...)
		if err := p.send(frame, next); err != nil {
			return err
		}
		pcm = pcm[n:]
		next = next.Add(promptTick)
		tick.Reset(time.Until(next))
	}
	return nil
}

// prompt is one that is being played: an encoder of the leg's own.
type prompt struct {
	leg   *Leg
	codec *codec.Codec
	enc   codec.AudioEncoder
	began time.Time
}

func (p *prompt) send(pcm []int16, now time.Time) error {
	a := p.leg.agreedOn(soundLine)
	if a == nil || !a.sends {
		return nil
	}
	if c := a.formats[0].codec; c != p.codec {
		p.close()
		enc, err := c.NewAudioEncoder(codec.AudioConfig{
			AudioFormat: codec.AudioFormat{Rate: promptRate, Channels: 1}, Bitrate: 32_000, Frame: promptTick, Complexity: 5,
		})
		if err != nil {
			return fmt.Errorf("play a prompt: %w", err)
		}
		p.codec, p.enc, p.began = c, enc, now
	}
	coded, err := p.enc.Encode(pcm)
	if err != nil {
		return fmt.Errorf("play a prompt: %w", err)
	}
	ticks := int64(now.Sub(p.began)) / 1000 * int64(p.codec.ClockRate) / 1_000_000
	p.leg.sink.audio(p, &mixer.Packet{
		Codec: p.codec, Payload: slices.Clone(coded), Timestamp: uint32(ticks), Time: now,
	}, true)
	return nil
}

func (p *prompt) close() {
	if p.enc != nil {
		_ = p.enc.Close()
	}
}
