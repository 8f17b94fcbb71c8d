package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"mixdown/codec"
	"mixdown/compositor"
)

const soundTick = 20 * time.Millisecond

// floor is the least that the job takes with the server's own codecs: one loop
// on one thread that decodes, scales, encodes one picture, decodes all sound and
// encodes K+1 mixes of it. It has no network, no jitter buffers, no labels, no
// levels and no limiters, and it knows beforehand who speaks.
//
//	clip ─ decode ─▶ newest frame ─ scale ─▶ canvas ─ encode
//	clip ─ decode ─▶ sum ─┬─ encode
//	                      └─ − self ─ encode, K times
type floor struct {
	*job
	decoders []codec.VideoDecoder
	newest   []compositor.Shot
	frame    []int64 // the next of each person
	due      []time.Time
	begun    []bool

	picture *compositor.Picture
	encoder codec.VideoEncoder

	voices []codec.AudioDecoder
	shared codec.AudioEncoder
	own    []codec.AudioEncoder // grows to the most that were ever open
	pcm    [][]int16
	open   []int
	sum    []int32
	mix    []int16

	done floorDone
}

// floorDone is what a floor did, as it prints it at its end.
type floorDone struct {
	Seconds  float64
	Pictures int
	Decoded  int
	Bytes    int // of coded pictures
	Ticks    int // of sound
	Encodes  int // of sound
	Late     int // events that came more than one picture's time late
}

func newFloor(j *job) (*floor, error) {
	f := &floor{
		job: j, newest: make([]compositor.Shot, j.n), frame: make([]int64, j.n), due: make([]time.Time, j.n), begun: make([]bool, j.n),
		picture: compositor.NewPicture(j.tier.Width, j.tier.Height, compositor.YUV{}, nil),
	}
	samples := 48_000 / int(time.Second/soundTick) * j.sound.Channels
	f.sum, f.mix = make([]int32, samples), make([]int16, samples)
	var err error
	if f.encoder, err = j.video.NewVideoEncoder(codec.VideoConfig{
		Width: j.tier.Width, Height: j.tier.Height, FPS: int(j.tier.FPS), Bitrate: j.tier.Bitrate, Threads: 1, MTU: j.tier.MTU,
	}); err != nil {
		return nil, err
	}
	if f.shared, err = f.newSoundEncoder(); err != nil {
		return nil, err
	}
	for i := range j.n {
		d, err := j.video.NewVideoDecoder()
		if err != nil {
			return nil, err
		}
		v, err := j.audio.NewAudioDecoder(codec.AudioFormat{Rate: 48_000, Channels: j.sound.Channels})
		if err != nil {
			return nil, err
		}
		f.decoders, f.voices = append(f.decoders, d), append(f.voices, v)
		f.pcm = append(f.pcm, make([]int16, samples))
		f.newest[i].ID = fmt.Sprint(i)
	}
	return f, nil
}

func (f *floor) newSoundEncoder() (codec.AudioEncoder, error) {
	return f.audio.NewAudioEncoder(codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: 48_000, Channels: f.sound.Channels},
		Bitrate:     f.sound.Tones[0].Bitrate, Frame: soundTick, Complexity: f.sound.Complexity, FEC: f.sound.Loss > 0, Loss: f.sound.Loss,
	})
}

// run works until ctx ends. What is late is made up for, nothing is left out.
func (f *floor) run(ctx context.Context) error {
	began := time.Now()
	interval := time.Second / time.Duration(f.tier.FPS)
	compose, sound := began.Add(interval), f.schedule.Packet(0, began)
	for i := range f.n {
		f.frame[i] = f.schedule.Frame(i, began)
		f.due[i] = f.schedule.FrameTime(i, f.frame[i])
	}
	for ctx.Err() == nil {
		next, what := compose, -1
		if at := f.schedule.PacketTime(0, sound); at.Before(next) {
			next, what = at, -2
		}
		for i, at := range f.due {
			if at.Before(next) {
				next, what = at, i
			}
		}
		if wait := time.Until(next); wait > 0 {
			pause := unix.NsecToTimespec(int64(wait))
			_ = unix.Nanosleep(&pause, nil) // a Go timer would cost more
		} else if -wait > interval {
			f.done.Late++
		}
		var err error
		switch what {
		case -1:
			err = f.encode(compose.Sub(began))
			compose = compose.Add(interval)
		case -2:
			err = f.tick(sound)
			sound++
		default:
			err = f.decode(what)
			f.frame[what]++
			f.due[what] = f.schedule.FrameTime(what, f.frame[what])
		}
		if err != nil {
			return err
		}
	}
	f.done.Seconds = time.Since(began).Seconds()
	return nil
}

// decode takes the next picture of person i; the first is a keyframe.
func (f *floor) decode(i int) error {
	p := f.job.picture(i, f.frame[i])
	if !f.begun[i] && !p.Keyframe {
		return nil
	}
	f.begun[i] = true
	frame, err := f.decoders[i].Decode(codec.Unit{Codec: f.video, Data: p.Data, Keyframe: p.Keyframe})
	if err != nil || frame == nil {
		return err
	}
	s := &f.newest[i]
	if s.Frame != nil {
		s.Frame.Release()
	}
	s.Frame = frame
	s.Seq++
	f.done.Decoded++
	return nil
}

// encode draws and codes one picture.
func (f *floor) encode(at time.Duration) error {
	if _, err := f.picture.Compose(f.places, f.newest); err != nil {
		return err
	}
	u, err := f.encoder.Encode(f.picture.Frame(), at, f.done.Pictures == 0)
	f.done.Pictures++
	f.done.Bytes += len(u.Data)
	return err
}

// tick decodes packet n of everybody and codes the shared mix, and one of their
// own for those who speak.
func (f *floor) tick(n int64) error {
	clear(f.sum)
	f.open = f.open[:0]
	for i, v := range f.voices {
		data, talks := f.packet(i, n)
		if _, err := v.Decode(data, f.pcm[i]); err != nil {
			return err
		}
		if !talks {
			continue
		}
		f.open = append(f.open, i)
		for k, s := range f.pcm[i] {
			f.sum[k] += int32(s)
		}
	}
	if err := f.code(f.shared, nil); err != nil {
		return err
	}
	for k, i := range f.open {
		if k == len(f.own) {
			e, err := f.newSoundEncoder()
			if err != nil {
				return err
			}
			f.own = append(f.own, e)
		}
		if err := f.code(f.own[k], f.pcm[i]); err != nil {
			return err
		}
	}
	f.done.Ticks++
	return nil
}

// code codes the sum without self.
func (f *floor) code(e codec.AudioEncoder, self []int16) error {
	for k, s := range f.sum {
		if self != nil {
			s -= int32(self[k])
		}
		f.mix[k] = int16(min(max(s, -32768), 32767))
	}
	_, err := e.Encode(f.mix)
	f.done.Encodes++
	return err
}

// floorCommand is `bench floor`: the floor until it is stopped, in a process of
// its own.
func floorCommand(ctx context.Context, n int, out io.Writer) error {
	j, err := newJob(ctx, n)
	if err != nil {
		return err
	}
	f, err := newFloor(j)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	if err := f.run(ctx); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(f.done)
}
