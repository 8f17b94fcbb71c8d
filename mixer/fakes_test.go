package mixer

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/catalog"
)

// The codecs are the real ones; only the network is missing.
var codecs = catalog.Default()

func newTestServer(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.DecodeWorkers = 2
	cfg.Log = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	s, err := NewServer(cfg, codecs)
	if err != nil {
		t.Fatal(err)
	}
	s.virtual = true
	if _, err := s.CreateRoom(RoomConfig{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// camera is a Source of one flat colour at 25 fps and a sine, without a network.
type camera struct {
	t      *testing.T
	units  []codec.Unit
	hz     float64 // of its voice; 0 is silence
	says   []int16 // instead, over and over
	phase  int
	mu     sync.Mutex
	keys   int
	asks   []Ask
	reason error
	silent bool // sends no voice at all
}

// colour is luma and chroma of a flat picture.
type colour struct{ y, u, v byte }

func newCamera(t *testing.T, c colour, hz float64) *camera {
	t.Helper()
	cam := &camera{t: t, hz: hz}
	vp8 := codecs.Find("VP8")
	enc, err := vp8.NewVideoEncoder(codec.VideoConfig{Width: 320, Height: 180, FPS: 25, Bitrate: 300_000})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	f := codec.NewFrame(320, 180)
	defer f.Release()
	f.Fill(c.y, c.u, c.v)
	for i := range 5 {
		u, err := enc.Encode(f, time.Duration(i)*40*time.Millisecond, i == 0)
		if err != nil {
			t.Fatal(err)
		}
		u.Codec, u.Data = vp8, slices.Clone(u.Data)
		cam.units = append(cam.units, u)
	}
	return cam
}

// play sends pictures into p until ctx ends: keyframes when asked, else the
// same differences again and again.
func (c *camera) play(ctx context.Context, p *Publication) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	asked := -1
	for i := 0; ; i++ {
		c.mu.Lock()
		keys := c.keys
		c.mu.Unlock()
		u := c.units[1+i%(len(c.units)-1)]
		if keys != asked {
			asked, u = keys, c.units[0]
		}
		p.WriteUnit(u)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *camera) Voice() Voice {
	if c.silent {
		return nil
	}
	return c
}

func (c *camera) Pull(pcm []int16) Heard {
	if len(c.says) > 0 {
		for i := range pcm {
			pcm[i] = c.says[c.phase%len(c.says)]
			c.phase++
		}
		return Heard{Ahead: -20}
	}
	if c.hz == 0 {
		clear(pcm)
		return Heard{Silent: true, Ahead: -127}
	}
	for i := range pcm {
		pcm[i] = int16(4000 * math.Sin(2*math.Pi*c.hz*float64(c.phase)/soundRate))
		c.phase++
	}
	return Heard{Ahead: -127}
}

func (c *camera) RequestKeyframe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys++
}

func (c *camera) Ask(a Ask) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks = append(c.asks, a)
}

func (c *camera) lastAsk() Ask {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asks) == 0 {
		return Ask{}
	}
	return c.asks[len(c.asks)-1]
}

func (c *camera) Close(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reason = reason
}

func (c *camera) closed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// screen is a Sink that decodes what it gets.
type screen struct {
	t      *testing.T
	names  []string
	video  codec.VideoDecoder
	audio  codec.AudioDecoder
	depack codec.Depacketizer

	mu       sync.Mutex
	frame    *codec.Frame
	pictures int
	streams  []uint32 // of pictures, each change
	sounds   []uint32
	stamps   []uint32
	pcm      []int16
	due      uint32 // timestamp that the next packet of sound is to have
	holes    int    // packets that did not
	samples  int    // of the newest packet
	bytes    int    // of sound
	reason   error
}

func newScreen(t *testing.T, names ...string) *screen {
	t.Helper()
	if len(names) == 0 {
		names = []string{"VP8", "opus"}
	}
	vp8, sound := codecs.Find("VP8"), codecs.Find("opus")
	for _, n := range names {
		if c := codecs.Find(n); c.Kind == codec.Audio {
			sound = c
		}
	}
	video, err := vp8.NewVideoDecoder()
	if err != nil {
		t.Fatal(err)
	}
	audio, err := sound.NewAudioDecoder(codec.AudioFormat{Rate: soundRate, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &screen{t: t, names: names, video: video, audio: audio, depack: vp8.Payload.NewDepacketizer()}
}

func (s *screen) Codecs() []string { return s.names }

func (s *screen) WriteVideo(picture []*Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var unit []byte
	for i, p := range picture {
		if len(p.Payload) > 1160 || p.Marker != (i == len(picture)-1) {
			s.t.Errorf("packet %d of %d: %d bytes, marker %v", i, len(picture), len(p.Payload), p.Marker)
		}
		unit, _ = s.depack.Append(unit, p.Payload)
	}
	first := picture[0]
	if len(s.streams) == 0 || s.streams[len(s.streams)-1] != first.Stream {
		if !first.Keyframe {
			s.t.Error("a stream begins without a keyframe")
		}
		s.streams = append(s.streams, first.Stream)
	}
	s.stamps = append(s.stamps, first.Timestamp)
	f, err := s.video.Decode(codec.Unit{Codec: first.Codec, Data: append(unit, make([]byte, 64)...)[:len(unit)], Keyframe: first.Keyframe})
	if err != nil {
		s.t.Errorf("decode picture %d: %v", s.pictures, err)
		return
	}
	s.pictures++
	if f != nil {
		if s.frame != nil {
			s.frame.Release()
		}
		s.frame = f
	}
}

func (s *screen) WriteAudio(p *Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sounds) == 0 || s.sounds[len(s.sounds)-1] != p.Stream {
		s.sounds = append(s.sounds, p.Stream)
	}
	pcm := make([]int16, 3*960)
	n, err := s.audio.Decode(p.Payload, pcm)
	if err != nil {
		s.t.Errorf("decode sound: %v", err)
	}
	if s.due != 0 && p.Timestamp != s.due {
		s.holes++
	}
	s.due = p.Timestamp + uint32(n)*p.Codec.ClockRate/soundRate
	s.samples, s.bytes = n, s.bytes+len(p.Payload)
	s.pcm = append(s.pcm, pcm[:n]...)
}

func (s *screen) Close(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = reason
}

func (s *screen) closed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// release frees what the screen decoded.
func (s *screen) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frame != nil {
		s.frame.Release()
		s.frame = nil
	}
	s.video.Close()
	s.audio.Close()
}

// at returns the colour in the middle of a tile given in thousandths.
func (s *screen) at(tile Tile) colour {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.frame
	if f == nil {
		return colour{}
	}
	x, y := (tile.X+tile.W/2)*f.Width/1000, (tile.Y+tile.H/2)*f.Height/1000
	c := y/2*f.UVStride + x/2
	return colour{f.Y[y*f.YStride+x], f.U[c], f.V[c]}
}

func (s *screen) size() (w, h, pictures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frame == nil {
		return 0, 0, s.pictures
	}
	return s.frame.Width, s.frame.Height, s.pictures
}

// heard returns the last n samples and the streams they came from.
func (s *screen) heard(n int) []int16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pcm) < n {
		return nil
	}
	return slices.Clone(s.pcm[len(s.pcm)-n:])
}

func (c colour) near(d colour) bool {
	diff := func(a, b byte) bool { return math.Abs(float64(a)-float64(b)) < 12 }
	return diff(c.y, d.y) && diff(c.u, d.u) && diff(c.v, d.v)
}
