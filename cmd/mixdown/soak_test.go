package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v3"
	"github.com/pion/webrtc/v3/pkg/media"

	"mixdown/api"
	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/codec/codectest"
	"mixdown/mixer"
)

// TestJoinLeaveLeavesNothing lets somebody come, send, see the first picture
// and go, over and over, beside a person who stays, and counts what is left.
func TestJoinLeaveLeavesNothing(t *testing.T) {
	warm, cycles := 20, 100
	if testing.Short() {
		warm, cycles = 5, 20
	}
	// What goleak finds at the end of the other tests, this one counts as it goes.
	r := start(t, map[string]any{"data_dir": t.TempDir(), "api.key": "soak", "api.secret": strings.Repeat("s", 32)})
	base := strings.Replace(regexp.MustCompile(`http://\S+`).FindString(r.out), "localhost", "127.0.0.1", 1)
	token := func(id string) string {
		keys := api.Keys{ID: "soak", Secret: strings.Repeat("s", 32)}
		text, err := keys.Mint(mixer.Identity{ID: id, Name: id, Role: mixer.Participant}, "demo", time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	clip := coded(t)
	stays := enter(t, r, base, token("stays"), clip)
	var goroutines int
	var memory int
	for i := range warm + cycles {
		if i == warm {
			goroutines, memory = settle(t, 0), resident(t)
		}
		// Every third one comes back under the same name without having left.
		enter(t, r, base, token(fmt.Sprint("comes", i%3)), clip).leave(r)
	}
	if n := settle(t, goroutines); n > goroutines+3 {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines after %d joins, %d before\n%s", n, cycles, goroutines, buf[:runtime.Stack(buf, true)])
	}
	if m := resident(t); m > memory+20 {
		t.Errorf("%d MB resident after %d joins, %d before", m, cycles, memory)
	}
	// Who stays looks at the last guest's canvas until the gallery's first key
	// frame; the guest's name must be gone from there as well, soon.
	var list string
	for range 100 {
		if _, list = r.do("GET", base+"/api/v1/rooms/demo/participants", token("stays"), ""); !strings.Contains(list, "comes") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if strings.Contains(list, "comes") {
		t.Errorf("a ghost: %s", list)
	}
	stays.leave(r)
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	if n := codec.LiveFrames(); n != 0 {
		t.Errorf("%d frames are still held", n)
	}
	r.client.CloseIdleConnections()
}

// guest is one WebRTC client that sends a clip.
type guest struct {
	t        *testing.T
	pc       *webrtc.PeerConnection
	location string
	token    string
	stop     context.CancelFunc
	sent     chan struct{}
}

// coded returns one second of a small picture as VP8.
func coded(t *testing.T) [][]byte {
	t.Helper()
	enc, err := catalog.Default().Find("VP8").NewVideoEncoder(codec.VideoConfig{Width: 160, Height: 90, FPS: 25, Bitrate: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var units [][]byte
	for i := range 25 {
		f := codectest.MovingPicture(160, 90, i)
		u, err := enc.Encode(f, time.Duration(i)*40*time.Millisecond, i == 0)
		f.Release()
		if err != nil {
			t.Fatal(err)
		}
		units = append(units, slices.Clone(u.Data))
	}
	return units
}

// enter joins with one track each way and waits for the first picture.
func enter(t *testing.T, r *running, base, token string, clip [][]byte) *guest {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	video, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90_000}, "v", "s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = pc.AddTrack(video); err != nil {
		t.Fatal(err)
	}
	if _, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio); err != nil {
		t.Fatal(err)
	}
	picture := make(chan struct{}, 1)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if p.Marker && track.Kind() == webrtc.RTPCodecTypeVideo {
				select {
				case picture <- struct{}{}:
				default:
				}
			}
		}
	})
	connected := make(chan struct{})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(connected)
		}
	})
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	req, err := http.NewRequest("POST", base+"/whip/demo?return=mix&tier=360p", bytes.NewBufferString(pc.LocalDescription().SDP))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/sdp")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("whip: %d %s %v", res.StatusCode, answer, err)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &guest{t: t, pc: pc, location: base + res.Header.Get("Location"), token: token, stop: stop, sent: make(chan struct{})}
	wait(t, connected, "connection")
	go g.play(ctx, video, clip)
	wait(t, picture, "first picture")
	return g
}

func (g *guest) play(ctx context.Context, video *webrtc.TrackLocalStaticSample, clip [][]byte) {
	defer close(g.sent)
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		// An error here is a connection that has gone; the test sees that elsewhere.
		_ = video.WriteSample(media.Sample{Data: clip[i%len(clip)], Duration: 40 * time.Millisecond})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (g *guest) leave(r *running) {
	g.t.Helper()
	g.stop()
	<-g.sent
	if res, text := r.do("DELETE", g.location, g.token, ""); res.StatusCode != http.StatusOK {
		g.t.Errorf("delete: %d %s", res.StatusCode, text)
	}
	if err := g.pc.Close(); err != nil {
		g.t.Error(err)
	}
}

func wait(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s within 20 s", what)
	}
}

// settle waits until the number of goroutines has come down to want, or to
// where it stays (want 0), and returns it.
func settle(t *testing.T, want int) int {
	t.Helper()
	last, same := runtime.NumGoroutine(), 0
	for range 100 {
		time.Sleep(50 * time.Millisecond)
		n := runtime.NumGoroutine()
		if want > 0 && n <= want {
			return n
		}
		if same++; n != last {
			same = 0
		}
		if last = n; want == 0 && same == 10 {
			break
		}
	}
	return last
}

// resident returns the process's memory in MB, C's with Go's.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 20
}
