package webrtc

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

// fakePayload is the smallest payload format there can be: a byte of flags,
// 16 bits that count pictures, data.
type fakePayload struct{}

const (
	fakeBegin = 1 << iota
	fakeKey
)

func (fakePayload) NewPacketizer() codec.Packetizer     { return new(fakePacketizer) }
func (fakePayload) NewDepacketizer() codec.Depacketizer { return fakeDepacketizer{} }
func (fakePayload) Counters(p []byte) codec.Counters {
	return codec.Counters(binary.BigEndian.Uint16(p[1:]))
}
func (fakePayload) Follow(last, first codec.Counters) codec.Counters { return last + 1 - first }
func (f fakePayload) Shift(p []byte, by codec.Counters) {
	binary.BigEndian.PutUint16(p[1:], uint16(f.Counters(p)+by))
}

type fakePacketizer struct{ picture uint16 }

func (f *fakePacketizer) Packetize(u codec.Unit, mtu int) (out [][]byte, err error) {
	for data, flags := u.Data, byte(fakeBegin); flags&fakeBegin != 0 || len(data) > 0; flags = 0 {
		n := min(len(data), mtu-3)
		if u.Keyframe {
			flags |= fakeKey
		}
		out = append(out, append(binary.BigEndian.AppendUint16([]byte{flags}, f.picture), data[:n]...))
		data = data[n:]
	}
	f.picture++
	return out, nil
}

type fakeDepacketizer struct{}

func (fakeDepacketizer) Begins(p []byte) bool { return len(p) > 2 && p[0]&fakeBegin != 0 }
func (fakeDepacketizer) Append(unit, p []byte) ([]byte, error) {
	if len(p) < 3 {
		return unit, errors.New("short payload")
	}
	if len(unit) == 0 {
		unit = append(unit, p[0])
	}
	return append(unit, p[3:]...), nil
}
func (fakeDepacketizer) Keyframe(unit []byte) bool { return len(unit) > 0 && unit[0]&fakeKey != 0 }

// fakeAudio decodes a packet to silence.
type fakeAudio struct{ format codec.AudioFormat }

func (d fakeAudio) Decode(p []byte, pcm []int16) (int, error) {
	n := d.format.Rate / 50
	for i := range pcm[:n*d.format.Channels] {
		pcm[i] = 1000
	}
	return n, nil
}
func (fakeAudio) DecodeFEC(_ []byte, pcm []int16) error { clear(pcm); return nil }
func (fakeAudio) Conceal(pcm []int16) error             { clear(pcm); return nil }
func (d fakeAudio) Samples([]byte) (int, error)         { return d.format.Rate / 50, nil }
func (fakeAudio) Close() error                          { return nil }

func fakeCodecs() codec.Set {
	return codec.Set{
		{Name: "VP8", Kind: codec.Video, ClockRate: 90000, Payload: fakePayload{}},
		{Name: "opus", Kind: codec.Audio, ClockRate: 48000, Channels: 2, Fmtp: "minptime=10;useinbandfec=1", Payload: fakePayload{},
			NewAudioDecoder: func(f codec.AudioFormat) (codec.AudioDecoder, error) { return fakeAudio{f}, nil }},
	}
}

// fakeRooms remembers who came.
type fakeRooms struct {
	pubs  chan *fakePublication
	subs  chan *fakeSubscription
	fails error
}

func newFakeRooms() *fakeRooms {
	return &fakeRooms{pubs: make(chan *fakePublication, 64), subs: make(chan *fakeSubscription, 64)}
}

func (r *fakeRooms) Rungs() mixer.Rungs {
	return mixer.Rungs{
		Tiers: []mixer.TierSpec{
			{Name: "high", FPS: 25, Bitrate: 1_500_000, MTU: 1160},
			{Name: "low", FPS: 15, Bitrate: 150_000, MTU: 800},
		},
		Tones: []mixer.Tone{{Bitrate: 32_000, Packet: 20 * time.Millisecond}},
	}
}

func (r *fakeRooms) Publish(_ context.Context, room string, who mixer.Identity, src mixer.Source) (Publication, error) {
	if r.fails != nil {
		return nil, r.fails
	}
	p := &fakePublication{room: room, who: who, source: src, units: make(chan codec.Unit, 1000), lost: make(chan struct{}, 1000), closed: make(chan struct{})}
	r.pubs <- p
	return p, nil
}

func (r *fakeRooms) Subscribe(_ context.Context, room string, who mixer.Identity, sink mixer.Sink, want mixer.Want) (Subscription, error) {
	if r.fails != nil {
		return nil, r.fails
	}
	s := &fakeSubscription{room: room, who: who, sink: sink, want: want, keys: make(chan struct{}, 1000), fits: make(chan mixer.Fit, 1000), closed: make(chan struct{})}
	r.subs <- s
	return s, nil
}

type fakePublication struct {
	room   string
	who    mixer.Identity
	source mixer.Source
	units  chan codec.Unit
	lost   chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (p *fakePublication) WriteUnit(u codec.Unit) { p.units <- u }
func (p *fakePublication) Lost()                  { p.lost <- struct{}{} }
func (p *fakePublication) Close()                 { p.once.Do(func() { close(p.closed) }) }

type fakeSubscription struct {
	room    string
	who     mixer.Identity
	sink    mixer.Sink
	want    mixer.Want
	keys    chan struct{}
	resumed atomic.Int32
	fits    chan mixer.Fit
	once    sync.Once
	closed  chan struct{}
}

func (s *fakeSubscription) RequestKeyframe() {
	select {
	case s.keys <- struct{}{}:
	default:
	}
}
func (s *fakeSubscription) Resume()              { s.resumed.Add(1) }
func (s *fakeSubscription) Bitrate() int         { return 300_000 }
func (s *fakeSubscription) Best() int            { return 0 }
func (s *fakeSubscription) SetTier(string) error { return nil }
func (s *fakeSubscription) Close()               { s.once.Do(func() { close(s.closed) }) }

func (s *fakeSubscription) Fit(f mixer.Fit) {
	select {
	case s.fits <- f:
	default:
	}
}
