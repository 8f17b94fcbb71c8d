package load

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v3"
	"go.uber.org/goleak"

	"mixdown/api"
	"mixdown/codec/catalog"
	"mixdown/mixer"
)

// mirror is a server that answers WHIP and WHEP and sends everybody their own
// media back, so that a bot sees and hears itself.
type mirror struct {
	t      *testing.T
	engine *webrtc.API
	keys   api.Keys
	busy   int // offers to refuse with 503 before the first one is taken

	mu       sync.Mutex
	missing  bool // the room is to be made first
	sessions map[string]*webrtc.PeerConnection
	people   []string
	hungup   int
	offers   int
	levels   int // packets of sound that carried RFC 6464's extension
	tasks    sync.WaitGroup
}

func newMirror(t *testing.T) (*mirror, *httptest.Server) {
	set := catalog.Default()
	s := httptest.NewUnstartedServer(nil)
	base, err := parseBase("http://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	engine, err := newEngine(base, set.Find("opus"), set.Find("VP8"))
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{
		t: t, engine: engine, sessions: map[string]*webrtc.PeerConnection{},
		keys: api.Keys{ID: "test", Secret: strings.Repeat("s", 32)},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /whip/{room}", m.offer)
	mux.HandleFunc("POST /whep/{room}", m.offer)
	mux.HandleFunc("DELETE /session/{id}", m.hangup)
	mux.HandleFunc("GET /api/v1/rooms/{room}/state", m.state)
	mux.HandleFunc("POST /api/v1/rooms", m.create)
	mux.HandleFunc("POST /api/v1/rooms/{room}/join", m.join)
	s.Config.Handler = mux
	s.Start()
	t.Cleanup(func() {
		s.Close()
		m.mu.Lock()
		for _, pc := range m.sessions {
			t.Error("a session was not hung up")
			pc.GracefulClose()
		}
		m.mu.Unlock()
		m.tasks.Wait()
	})
	return m, s
}

func (m *mirror) bearer(r *http.Request) (api.Bearer, error) {
	return m.keys.Verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), time.Now())
}

func (m *mirror) offer(w http.ResponseWriter, r *http.Request) {
	who, err := m.bearer(r)
	if err != nil || who.Room != r.PathValue("room") {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offers++
	if m.missing {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"detail":"there is no such room"}`)
		return
	}
	if m.offers <= m.busy {
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	sdp, err := io.ReadAll(r.Body)
	if err != nil {
		m.t.Error(err)
	}
	if strings.HasPrefix(r.URL.Path, "/whip/") && r.URL.Query().Get("return") != "mix" {
		m.t.Errorf("a bot offers to %s", r.URL)
	}
	answer, id, err := m.answer(string(sdp))
	if err != nil {
		m.t.Error(err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	m.people = append(m.people, who.ID)
	w.Header().Set("Location", "/session/"+id)
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, answer)
}

// answer connects a peer whose tracks come back to it.
func (m *mirror) answer(sdp string) (answer, id string, err error) {
	pc, err := m.engine.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", "", err
	}
	set := catalog.Default()
	back := map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP{}
	for kind, name := range map[webrtc.RTPCodecType]string{webrtc.RTPCodecTypeVideo: "VP8", webrtc.RTPCodecTypeAudio: "opus"} {
		track, err := webrtc.NewTrackLocalStaticRTP(capabilityOf(set.Find(name)), kind.String(), "mix")
		if err != nil {
			return "", "", err
		}
		back[kind] = track
		if _, err := pc.AddTrack(track); err != nil {
			return "", "", err
		}
	}
	pc.OnTrack(func(in *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		out := back[in.Kind()]
		var level uint8
		for _, h := range receiver.GetParameters().HeaderExtensions {
			if h.URI == "urn:ietf:params:rtp-hdrext:ssrc-audio-level" {
				level = uint8(h.ID)
			}
		}
		m.tasks.Go(func() {
			for {
				p, _, err := in.ReadRTP()
				if err != nil {
					return
				}
				if in.Kind() == webrtc.RTPCodecTypeAudio && p.GetExtension(level) != nil {
					m.mu.Lock()
					m.levels++
					m.mu.Unlock()
				}
				p.Extension, p.Extensions = false, nil
				if out.WriteRTP(p) != nil {
					return
				}
			}
		})
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}); err != nil {
		return "", "", err
	}
	a, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", "", err
	}
	done := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(a); err != nil {
		return "", "", err
	}
	<-done
	id = strings.Repeat("x", len(m.sessions)+1)
	m.sessions[id] = pc
	return pc.LocalDescription().SDP, id, nil
}

func (m *mirror) hangup(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	pc := m.sessions[r.PathValue("id")]
	delete(m.sessions, r.PathValue("id"))
	m.hungup++
	m.mu.Unlock()
	if pc == nil {
		http.NotFound(w, r)
		return
	}
	pc.GracefulClose()
}

func (m *mirror) state(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := mixer.State{}
	for _, id := range m.people {
		s.Participants = append(s.Participants, mixer.Member{ID: id, Canvas: "only " + id})
		s.Layouts = append(s.Layouts, mixer.CanvasState{Canvas: "only " + id, Tiles: []mixer.Tile{{ID: id, W: 1000, H: 1000}}})
	}
	json.NewEncoder(w).Encode(s)
}

func (m *mirror) create(w http.ResponseWriter, r *http.Request) {
	if who, err := m.bearer(r); err != nil || !who.Admin() {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	m.mu.Lock()
	m.missing = false
	m.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
}

func (m *mirror) join(w http.ResponseWriter, r *http.Request) {
	var in struct{ Key, Name string }
	if json.NewDecoder(r.Body).Decode(&in) != nil || in.Key != "open sesame" {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"detail":"the key does not open this room"}`)
		return
	}
	id := "p-" + in.Name
	token, err := m.keys.Mint(mixer.Identity{ID: id, Name: in.Name, Role: mixer.Participant}, r.PathValue("room"), time.Now(), time.Hour)
	if err != nil {
		m.t.Error(err)
	}
	json.NewEncoder(w).Encode(api.Place{Token: token, Identity: id})
}

// testCommand is a small and quick run against a server.
func testCommand(t *testing.T, m *mirror, url string) *Command {
	cache := os.Getenv("MIXDOWN_CLIPS")
	if cache == "" {
		cache = filepath.Join(os.TempDir(), "mixdown-test-clips")
	}
	return &Command{
		URL: url, Room: "demo", Rooms: 1, Bots: 2, Listen: 2, Duration: 6 * time.Second, Cache: cache, Talkers: 4, Takes: []string{"VP8"},
		Size: "320x180", FPS: 25, Bitrate: 200, Sound: "tones", StartInterval: time.Millisecond,
		APIKey: m.keys.ID, APISecret: m.keys.Secret, JSON: filepath.Join(t.TempDir(), "out.json"),
	}
}

func runCommand(t *testing.T, c *Command) (*Report, string, error) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	err := c.run(context.Background(), catalog.Default(), &table, &Progress{w: io.Discard})
	report := &Report{}
	b, e := os.ReadFile(c.JSON)
	if e != nil {
		return nil, table.String(), err
	}
	if e := json.Unmarshal(b, report); e != nil {
		t.Fatal(e)
	}
	return report, table.String(), err
}

func TestBotsSeeAndHearThemselvesInAMirror(t *testing.T) {
	defer goleak.VerifyNone(t)
	m, s := newMirror(t)
	defer s.Close()
	m.missing, m.busy = true, 2 // the room has to be made, and trying again is needed
	report, table, err := runCommand(t, testCommand(t, m, s.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table)
	if report.Summary.Joined != 2 || report.Summary.NoPicture != 0 || m.hungup != 2 {
		t.Errorf("%d joined, %d without a picture, %d hung up", report.Summary.Joined, report.Summary.NoPicture, m.hungup)
	}
	for _, c := range report.Clients {
		l := c.Listener
		if l == nil {
			t.Fatalf("%s did not listen", c.Identity)
		}
		if l.Failures > 0 || l.Decoded < 50 || l.Width != 320 {
			t.Errorf("%s: %d frames decoded, %d errors, %d wide", c.Identity, l.Decoded, l.Failures, l.Width)
		}
		if l.TilesSeen != 1 || l.CodesRead < 50 || l.CodesUnread > l.CodesRead/20 {
			t.Errorf("%s: %d tiles, %d codes read, %d not", c.Identity, l.TilesSeen, l.CodesRead, l.CodesUnread)
		}
		if c.Video.Lost+c.Audio.Lost > (c.Video.Packets+c.Audio.Packets)/50 || c.Video.Frames < 50 || c.Audio.Packets < 100 || c.Join <= 0 || c.Sound <= 0 {
			t.Errorf("%s: %+v", c.Identity, c)
		}
		// It is alone in its mirror: of the other's turns it hears nothing, of its
		// own everything.
		if math.Abs(l.Tones.Own) > 3 || l.Tones.Heard != 0 || l.Tones.Strange != 0 || l.Tones.Expected > l.Tones.Slots {
			t.Errorf("%s: tones %+v", c.Identity, l.Tones)
		}
	}
	if m.levels == 0 {
		t.Error("no packet of sound told its level")
	}
}

func TestViewerAndJoinKey(t *testing.T) {
	defer goleak.VerifyNone(t)
	m, s := newMirror(t)
	defer s.Close()
	c := testCommand(t, m, s.URL)
	c.APIKey, c.APISecret, c.JoinKey = "", "", "open sesame"
	c.Bots, c.Listen, c.Duration = 1, 0, time.Second
	report, _, err := runCommand(t, c)
	if err != nil || report.Summary.Joined != 1 {
		t.Fatal(err)
	}
	c.JoinKey = "wrong"
	if _, _, err = runCommand(t, c); err == nil || !strings.Contains(err.Error(), "the key does not open this room") {
		t.Errorf("with a wrong key: %v", err)
	}
	// The mirror gives a viewer nothing back: it must say so.
	c.JoinKey = "open sesame"
	c.Bots, c.Viewers = 0, 1
	if _, _, err = runCommand(t, c); err == nil || !strings.Contains(err.Error(), "never got a picture") {
		t.Errorf("a viewer of nothing: %v", err)
	}
}

func TestNoServer(t *testing.T) {
	defer goleak.VerifyNone(t)
	m, s := newMirror(t)
	c := testCommand(t, m, s.URL)
	s.Close()
	c.Bots, c.Listen = 1, 0
	_, table, err := runCommand(t, c)
	if err == nil || !strings.Contains(err.Error(), "is the server running") || !strings.Contains(table, "not in") {
		t.Errorf("%v\n%s", err, table)
	}
}
