package mixer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"mixdown/codec"
)

// packets is a Voice that decodes one coded sound again and again.
type packets struct {
	dec   codec.AudioDecoder
	coded [][]byte
	at    int
}

func (p *packets) Pull(pcm []int16) Heard {
	_, err := p.dec.Decode(p.coded[p.at%len(p.coded)], pcm)
	p.at++
	return Heard{Silent: err != nil, Ahead: -127}
}

// bin is a Sink that wants nothing.
type bin struct{ packets int }

func (*bin) Codecs() []string     { return nil }
func (*bin) WriteVideo([]*Packet) {}
func (b *bin) WriteAudio(*Packet) { b.packets++ }
func (*bin) Close(error)          {}

func cpuTime(t testing.TB) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds()
}

// coded is pcm as packets of 20 ms.
func coded(t testing.TB, pcm []int16) (out [][]byte) {
	enc, err := codecs.Find("opus").NewAudioEncoder(codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: soundRate, Channels: 1},
		Bitrate:     32_000, Frame: soundTick, Complexity: 9, FEC: true, Loss: 0.05,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	for i := 0; i+960 <= len(pcm); i += 960 {
		b, err := enc.Encode(pcm[i : i+960])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Clone(b))
	}
	return out
}

// BenchmarkSound steps a room's sound: everybody sends a packet every 20 ms and
// hears the room. The first six talk without a pause, the others send the noise
// of their rooms; in the last row all talk. cores is processor time over the
// sound's own time.
func BenchmarkSound(b *testing.B) {
	voice := talk(b, 20)
	r := rand.New(rand.NewPCG(3, 4))
	noise := make([]int16, len(voice))
	for i := range noise {
		noise[i] = int16(12 * r.NormFloat64())
	}
	speech, room := coded(b, voice), coded(b, noise)
	for _, c := range []struct {
		n, talk int
		change  func(*SoundSpec)
	}{
		{2, 2, nil}, {8, 6, nil}, {16, 6, nil}, {25, 6, nil}, {50, 6, nil}, {50, 50, nil},
		{50, 6, func(s *SoundSpec) { s.Level = false }},
	} {
		name := fmt.Sprintf("n=%d,talk=%d", c.n, c.talk)
		if c.change != nil {
			name += ",raw"
		}
		b.Run(name, func(b *testing.B) {
			cfg := DefaultConfig()
			if c.change != nil {
				c.change(&cfg.Sound)
			}
			server, err := NewServer(cfg, codecs)
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			opus := codecs.Find("opus")
			s := &soundClock{
				room: &Room{server: server, epoch: time.Unix(0, 0), log: cfg.Log}, shared: map[soundKey]*soundEncoder{},
				bus: newBus(cfg.Sound), set: &cfg.Sound,
			}
			s.spec.Store(&cfg.Sound)
			defer s.close()
			var roster []soundSeat
			sink := &bin{}
			for i := range c.n {
				dec, err := opus.NewAudioDecoder(codec.AudioFormat{Rate: soundRate, Channels: 1})
				if err != nil {
					b.Fatal(err)
				}
				defer dec.Close()
				v := &packets{dec: dec, coded: room, at: i * 137}
				if i < c.talk {
					v.coded = speech
				}
				who := &member{}
				roster = append(roster, soundSeat{who: who, voice: v, sub: &Subscription{who: who, sink: sink, audio: opus}})
			}
			s.roster.Store(&roster)
			now := time.Unix(0, 0)
			step := func() {
				now = now.Add(soundTick)
				s.step(now)
			}
			for range 50 {
				step()
			}
			open, ticks := 0, 0
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				step()
				ticks++
				for _, l := range s.legs {
					if l.strip.Open {
						open++
					}
				}
			}
			used := cpuTime(b) - start
			if sink.packets != (ticks+50)*c.n {
				b.Errorf("%d packets for %d people in %d ticks", sink.packets, c.n, ticks+50)
			}
			b.ReportMetric(used/(float64(ticks)*soundTick.Seconds()), "cores")
			b.ReportMetric(float64(open)/float64(ticks), "open")
		})
	}
}
