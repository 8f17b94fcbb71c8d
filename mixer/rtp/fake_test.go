package rtp

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/codec/codectest"
	"mixdown/mixer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// set is everybody's: codecs are compared by pointer.
var set = catalog.Default()

// hall is rooms without a mixer: what comes is kept, what is to go out is written
// by the test.
type hall struct {
	mu    sync.Mutex
	src   mixer.Source
	sink  mixer.Sink
	units []codec.Unit
	keys  int
	fit   mixer.Fit
	media [2]bool
	shows bool     // a screen
	names []string // of rooms that were joined
	left  int
}

func (h *hall) Publish(room string, _ mixer.Identity, src mixer.Source) (Publication, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.src, h.names = src, append(h.names, room)
	return h, nil
}

func (h *hall) Subscribe(_ string, _ mixer.Identity, sink mixer.Sink, _ mixer.Want) (Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sink = sink
	return h, nil
}

func (h *hall) SetMedia(_, _ string, audio, video *bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, on := range []*bool{audio, video} {
		if on != nil {
			h.media[i] = *on
		}
	}
	return nil
}

func (h *hall) SetScreen(_, _ string, on bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shows = on
	return nil
}

func (h *hall) Rungs() mixer.Rungs {
	c := mixer.DefaultConfig()
	return mixer.Rungs{Tiers: c.Ladder, Tones: c.Sound.Tones}
}

func (h *hall) WriteUnit(u codec.Unit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.units = append(h.units, u)
}

func (h *hall) Lost()        {}
func (h *hall) Bitrate() int { return 0 }

func (h *hall) RequestKeyframe() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys++
}

func (h *hall) Fit(f mixer.Fit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fit = f
}

func (h *hall) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left++
}

func (h *hall) look(f func() bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return f()
}

// eventually waits for what comes over the network.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("%s: not within 10 s", what)
}

// newTransport returns one on ports of its own.
func newTransport(t *testing.T, first int, change func(*Config)) (*Transport, *hall) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.First, cfg.Last, cfg.Address = first, first+99, "127.0.0.1"
	if change != nil {
		change(&cfg)
	}
	h := &hall{}
	tr, err := New(cfg, set, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close(); tr.Close() })
	return tr, h
}

func session(room string) mixer.Session {
	return mixer.Session{Room: room, Identity: mixer.Identity{ID: "p", Name: "P"}, Publish: true, Receive: true}
}

// coded is a second of sound and pictures as rooms send them.
type coded struct {
	sounds   []*mixer.Packet
	pictures [][]*mixer.Packet
}

// material codes a tone and moving pictures.
func material(t *testing.T, sound, picture string, hz float64) coded {
	t.Helper()
	a, v := set.Find(sound), set.Find(picture)
	enc, err := a.NewAudioEncoder(codec.AudioConfig{AudioFormat: codec.AudioFormat{Rate: 48000, Channels: 1}, Bitrate: 32000, Frame: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var out coded
	epoch := time.Now()
	for i := range 60 {
		b, err := enc.Encode(codectest.Tone(48000, hz, -12, i*960, 960))
		if err != nil {
			t.Fatal(err)
		}
		out.sounds = append(out.sounds, &mixer.Packet{
			Codec: a, Stream: 1, Payload: append([]byte(nil), b...), Timestamp: uint32(i) * a.ClockRate / 50, Time: epoch.Add(time.Duration(i) * 20 * time.Millisecond),
		})
	}
	venc, err := v.NewVideoEncoder(codec.VideoConfig{Width: 320, Height: 192, FPS: 25, Bitrate: 300_000, MTU: 1100})
	if err != nil {
		t.Fatal(err)
	}
	defer venc.Close()
	cut := v.Payload.NewPacketizer()
	for i := range 25 {
		f := codectest.MovingPicture(320, 192, i)
		u, err := venc.Encode(f, time.Duration(i)*40*time.Millisecond, i == 0)
		f.Release()
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Data) == 0 {
			continue
		}
		payloads, err := cut.Packetize(u, 1100)
		if err != nil {
			t.Fatal(err)
		}
		var picture []*mixer.Packet
		for k, p := range payloads {
			picture = append(picture, &mixer.Packet{
				Codec: v, Stream: 2, Payload: p, Timestamp: uint32(i) * 3600, Time: epoch.Add(time.Duration(i) * 40 * time.Millisecond),
				Marker: k == len(payloads)-1, Keyframe: u.Keyframe,
			})
		}
		out.pictures = append(out.pictures, picture)
	}
	return out
}

// play gives the material to a sink in its time, while pull has what the other end hears.
func (c coded) play(sink mixer.Sink, pull func()) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i, s := range c.sounds {
		sink.WriteAudio(s)
		if i%2 == 0 && i/2 < len(c.pictures) {
			sink.WriteVideo(c.pictures[i/2])
		}
		<-tick.C
		pull()
	}
}

// phone is an end that is nothing but sockets.
type phone struct {
	t    *testing.T
	conn *net.UDPConn
	to   netip.AddrPort
	seq  uint16
}

func newPhone(t *testing.T) *phone {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &phone{t: t, conn: c}
}

func (p *phone) port() int { return p.conn.LocalAddr().(*net.UDPAddr).Port }

func (p *phone) send(pt uint8, ts uint32, payload []byte) {
	p.t.Helper()
	b := []byte{0x80, pt, byte(p.seq >> 8), byte(p.seq), byte(ts >> 24), byte(ts >> 16), byte(ts >> 8), byte(ts), 1, 2, 3, 4}
	p.seq++
	if _, err := p.conn.WriteToUDPAddrPort(append(b, payload...), p.to); err != nil {
		p.t.Fatal(err)
	}
}

// gets reads packets for a while and returns how many came.
func (p *phone) gets(d time.Duration) (n int) {
	buf := make([]byte, 2048)
	_ = p.conn.SetReadDeadline(time.Now().Add(d))
	for {
		if _, _, err := p.conn.ReadFromUDP(buf); err != nil {
			return n
		}
		n++
	}
}

// portIn finds an m-line's port in SDP.
func portIn(t *testing.T, text, media string) int {
	t.Helper()
	d, err := parse(text)
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	for _, m := range d.media {
		if m.name == media {
			return m.port
		}
	}
	t.Fatalf("no %s in %s", media, text)
	return 0
}

func sdpOf(lines ...string) string {
	return "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" + strings.Join(lines, "\r\n") + "\r\n"
}
