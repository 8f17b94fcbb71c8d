// Package api is the HTTP control plane: REST with OpenAPI, WHIP, WHEP, the
// control WebSocket, the join page, health, metrics, and who may do what. It
// carries no media and knows transports only as a Signaler.
package api

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"mixdown/mixer"
)

// Signaler is a transport whose sessions are set up by an SDP offer. It is
// spoken to in plain data, so that it may run in another process.
type Signaler interface {
	// Offer starts a session. The room must exist.
	Offer(ctx context.Context, s mixer.Session, sdp string) (mixer.Answer, error)
	// Patch takes a trickle-ice-sdpfrag (RFC 8840) for the ICE session that
	// ifMatch, an If-Match header's value, names; it may be empty. After an ICE
	// restart answer is the fragment to answer with, else it is empty. etag is
	// the one that holds now, or empty.
	Patch(ctx context.Context, id, ifMatch, fragment string) (answer, etag string, err error)
	// Hangup ends a session.
	Hangup(ctx context.Context, id string) error
	// Session tells whose session that is.
	Session(id string) (mixer.Session, bool)
	// Carries tells what somebody's link seems to carry towards them at least, as setting up
	// their session showed, bit/s; who has no session is passed over.
	Carries(room, id string, bps int)
}

// Rooms is what the control plane needs of the mixer.
type Rooms interface {
	CreateRoom(cfg mixer.RoomConfig) (created bool, err error)
	DeleteRoom(room string) error
	Rooms() []string
	Admit(room string, who mixer.Identity) error
	State(room string) (mixer.State, error)
	Watch(ctx context.Context, room string) (<-chan mixer.State, error)
	Mute(room, id string, audio, video *bool) error
	SetMedia(room, id string, audio, video *bool) error
	SetScreen(room, id string, on bool) error
	SetHand(room, id string, up bool) error
	Remove(room, id string) error
	SetTier(room, id, tier string) error
	SetBitrate(room, tier string, bps int) error
	SetSound(room string, level, denoise *bool) error
	SetLayout(room, layout string) error
	SetLocked(room string, locked bool) error
	// LockedOut returns mixer.ErrLocked if a lock keeps somebody out.
	LockedOut(room string, who mixer.Identity) error
	Tiers() []string
	LowData() string // the one for who wants to spend little
	Snapshot(ctx context.Context, room string) (image.Image, error)
}

// Inputs plays things into rooms.
type Inputs interface {
	PlayIn(ctx context.Context, room string, q mixer.InputRequest) (mixer.InputState, error)
	Announce(ctx context.Context, room string, q mixer.InputRequest) (mixer.InputState, error)
	Inputs(room string) []mixer.InputState
	Input(room, id string) (mixer.InputState, error)
	ChangeInput(room, id string, c mixer.InputChange) (mixer.InputState, error)
	RemoveInput(room, id string) error
}

// Outputs sends rooms' programmes on.
type Outputs interface {
	StartOutput(ctx context.Context, room string, q mixer.OutputRequest) (mixer.OutputState, error)
	Outputs(room string) []mixer.OutputState
	Output(room, id string) (mixer.OutputState, error)
	RemoveOutput(room, id string) error
	// SDP describes an RTP output (RFC 8866).
	SDP(room, id string) (string, error)
	// HLS returns the playlist index.m3u8, or a file that it names.
	HLS(room, id, name string) ([]byte, error)
	// Fetch writes MPEG-TS until ctx or the output ends.
	Fetch(ctx context.Context, room, id string, w io.Writer) error
}

// Legs are ends that speak plain RTP.
type Legs interface {
	CreateLeg(ctx context.Context, r mixer.LegRequest) (mixer.Leg, error)
	AcceptLeg(ctx context.Context, id, answer string) (mixer.Leg, error)
	UpdateLeg(ctx context.Context, id, offer string) (mixer.Leg, error)
	ListLegs(room string) []mixer.Leg
	DescribeLeg(id string) (mixer.Leg, bool)
	HangupLeg(ctx context.Context, id string) error
}

// ICEServer is one STUN or TURN server for clients, in the shape of a
// browser's RTCIceServer.
type ICEServer struct {
	URLs       []string `json:"urls" koanf:"urls" doc:"stun:, turn: or turns: URLs (RFC 7064, RFC 7065)"`
	Username   string   `json:"username,omitempty" koanf:"username"`
	Credential string   `json:"credential,omitempty" koanf:"credential"`
	Secret     string   `json:"-" koanf:"secret"` // shared with a TURN server that takes time-limited credentials
}

// Config is all that an API is made of.
type Config struct {
	Keys     Keys
	Signaler Signaler
	Rooms    Rooms
	Inputs   Inputs  // nil: nothing is played in
	Outputs  Outputs // nil: nothing is sent on
	Legs     Legs    // nil: there is no plain RTP
	Registry *Registry
	Recorder Recorder // nil: rooms are not recorded
	Gatherer prometheus.Gatherer
	Page     fs.FS // the built join page; without an index.html a note stands in for it

	Open       bool          // rooms come into being when somebody joins
	MaxOpen    int           // how many of those there may be; 0 means 100
	TokenTTL   time.Duration // of tokens that joining gives; 0 means 24 hours
	ICEServers []ICEServer
	// Relays returns further ICE servers with credentials that are a user's own and
	// hold until end; host is how the client reaches this server. nil means none.
	Relays         func(user, host string, end time.Time) []ICEServer
	PublicURL      string   // how the world reaches this server; empty: as the request did
	TrustedProxies []string // addresses or networks whose X-Forwarded-For is believed
	Version        string

	Now func() time.Time // nil means time.Now
}

// maxBody bounds the bodies of all requests, in bytes. A gathered offer of a
// browser is about 8 kB.
const maxBody = 64 << 10

// API serves the control plane. It is an http.Handler and a
// prometheus.Collector.
type API struct {
	cfg     Config
	log     *slog.Logger
	engine  *gin.Engine
	handler http.Handler // engine, whose texts are compressed
	rest    huma.API
	page    page
	hub     *hub
	open    *openRooms
	removed *removals
	doors   *doors
	meters  meters
	ready   atomic.Bool
	phones  phones
	snaps   chan struct{} // bounds how many snapshots are coded at once

	writeTimeout time.Duration // of one control message
}

// New returns an API that is not ready yet: until SetReady(true) it refuses
// to start sessions.
func New(cfg Config, log *slog.Logger) (*API, error) {
	if err := cfg.Keys.Validate(); err != nil {
		return nil, err
	}
	if cfg.Signaler == nil || cfg.Rooms == nil || cfg.Registry == nil || cfg.Gatherer == nil || cfg.Page == nil {
		return nil, errors.New("api: signaler, rooms, registry, gatherer and page must all be given")
	}
	if cfg.PublicURL != "" {
		u, err := url.Parse(cfg.PublicURL)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("public URL %q: want http(s)://HOST[:PORT]", cfg.PublicURL)
		}
		cfg.PublicURL = strings.TrimRight(cfg.PublicURL, "/")
	}
	if cfg.TokenTTL == 0 {
		cfg.TokenTTL = 24 * time.Hour
	}
	if cfg.MaxOpen == 0 {
		cfg.MaxOpen = 100
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &API{
		cfg:     cfg,
		log:     log,
		hub:     newHub(),
		removed: newRemovals(),
		doors:   newDoors(),
		meters:  newMeters(),
		snaps:   make(chan struct{}, 2),

		writeTimeout: writeTimeout,
	}
	a.open = &openRooms{rooms: cfg.Rooms, max: cfg.MaxOpen, busy: a.hub.busy, asked: map[string]time.Time{}}
	var err error
	if a.page, err = newPage(cfg.Page); err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode) // it is the process's, and else talks to stdout
	a.engine = gin.New()
	if err := a.engine.SetTrustedProxies(cfg.TrustedProxies); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	a.engine.HandleMethodNotAllowed = true
	a.engine.RedirectTrailingSlash = false
	a.engine.UseRawPath = true // an identity may hold an escaped slash
	if err := a.routes(); err != nil {
		return nil, err
	}
	if a.handler, err = compressed(a.engine); err != nil {
		return nil, err
	}
	return a, nil
}

// routes is the list of all that is served.
func (a *API) routes() error {
	e := a.engine
	e.Use(a.observe, a.recoverPanic, cors)
	e.NoRoute(a.fallback)
	e.NoMethod(func(c *gin.Context) {
		a.fail(c, newProblem(http.StatusMethodNotAllowed, "%s is not served at %s; the Allow header lists what is", c.Request.Method, c.Request.URL.Path))
	})

	a.restRoutes()
	a.whipRoutes()
	a.rawOperation(opControl, a.control)
	a.rawOperation(opSnapshot, a.snapshot)
	a.healthRoutes()
	a.pageRoutes()
	return a.describe()
}

// ServeHTTP serves one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// SetReady tells whether sessions may start; /readyz follows it.
func (a *API) SetReady(ready bool) { a.ready.Store(ready) }

// Close ends all control connections and waits for them. It may be called
// twice.
func (a *API) Close() error {
	a.SetReady(false)
	a.hub.close()
	return nil
}

// Ensure makes a room live that may be: one made by REST, or any if rooms are
// open.
func (a *API) Ensure(room string) error { return a.ensure(room) }

// ensure makes a room live that may be: one made by REST, or any if rooms are
// open.
func (a *API) ensure(room string) error {
	if !validRoom(room) {
		return badRoomName(room)
	}
	if _, known := a.cfg.Registry.Get(room); known {
		if _, err := a.cfg.Rooms.CreateRoom(mixer.RoomConfig{Name: room}); err != nil {
			return fmt.Errorf("room %q: %w", room, err)
		}
		a.record(room)
		return nil
	}
	if a.cfg.Open {
		return a.open.ensure(room, a.cfg.Now())
	}
	if slices.Contains(a.cfg.Rooms.Rooms(), room) {
		return nil // made by another part of the server
	}
	return newProblem(http.StatusNotFound, "there is no room %q; make it with POST /api/v1/rooms, or set rooms.open to let rooms come into being by themselves", room)
}

// ValidRoom reports whether room can name a room.
func ValidRoom(room string) bool { return validRoom(room) }

// validRoom reports whether room can name a room: 1 to 64 letters, digits, dots,
// dashes and underscores, a letter or digit first.
func validRoom(room string) bool {
	if room == "" || len(room) > 64 {
		return false
	}
	for i, r := range []byte(room) {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && (i == 0 || r != '.' && r != '-' && r != '_') {
			return false
		}
	}
	return true
}

func badRoomName(room string) error {
	return newProblem(http.StatusBadRequest, "room name %.80q: use 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first", room)
}

// base returns how the client of a request reaches this server.
func (a *API) base(c *gin.Context) string {
	if a.cfg.PublicURL != "" {
		return a.cfg.PublicURL
	}
	scheme := "http"
	if c.Request.TLS != nil || strings.EqualFold(c.GetHeader("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	return scheme + "://" + c.Request.Host
}
