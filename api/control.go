package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"mixdown/mixer"
)

// subprotocol is the WebSocket subprotocol of the control channel. A browser,
// which can set no header, may offer it together with its token.
const subprotocol = "mixdown"

// Bounds of one control connection.
const (
	maxMessage   = 16 << 10 // bytes from a client
	writeTimeout = 15 * time.Second
	endGrace     = time.Second // for a message on its way when the connection is to end
	pingEvery    = 25 * time.Second
	pingTimeout  = 30 * time.Second // an outage of 20 s is to be survived
	perSecond    = 20               // messages from a client, more wait
	burst        = 40
	changesEvery = time.Second // what can wait, to clients that take changes,
	// and to those whose link carries no picture: a change takes as much of it as two
	// packets of sound.
	changesSeldom = 3 * time.Second
)

// closeWithin is for a client's part of the closing handshake: one that is out of
// reach must not hold up a server that stops.
const closeWithin = time.Second

// Close codes of the application (RFC 6455, section 7.4.2): coming back with
// the same token would not help. Any other end invites to reconnect.
const (
	closeRemoved    websocket.StatusCode = 4403
	closeRoomClosed websocket.StatusCode = 4404
)

var errStopping = errors.New("the server is stopping")

var opControl = &huma.Operation{
	Method:      http.MethodGet,
	Path:        prefix + "/rooms/{room}/control",
	OperationID: "control",
	Summary:     "The control WebSocket",
	Description: "The server sends {type: state, state, you} at once and after each change, always whole and only the newest (state.savings says what the room does without while the server's budget is spent), and " +
		"{type: error, error: {code, message}} for what it could not do. With ?changes=true only the first state is sent whole, and then " +
		"{type: changes, changes: {state, participants, order}}: merge patches (RFC 7396) of the state and, by id, of its participants; order lists all of them when somebody came or went. Layouts, savings, levels, and of others the tier, codec, canvas, size and ask are not told then: GET the room for them. " +
		"Changes of who is heard and of tiers come once a second at most; to who receives no picture every 3 s, and say of the sound only who the speaker is. Hosts are also sent {type: event, event: {type, room, timestamp, …}} as recordings, inputs and outputs change state, people raise hands, and hosts lock the room or choose its layout; one that reads too slowly for them is sent the whole state with missed, how many it was not sent. The client sends {type: media, audio, video, screen} (what it is sending, and whether its picture is a screen), " +
		"{type: tier, tier}, {type: mute, id, audio, video} (a host, or oneself; true mutes), {type: hand, id, raised} (likewise; without id: oneself), {type: layout, layout} and " +
		"{type: lock, locked} (hosts), {type: link, down} (before the first picture has come: what the link seems to carry towards it at least, bit/s), and {type: ping}, answered by {type: pong}.",
	Tags:     []string{"rooms"},
	Security: guarded,
	Parameters: []*huma.Param{
		queryParameter("token", "for browsers; or offer the subprotocols \"mixdown\" and the token"),
		queryParameter("changes", "true: after the first state, changes"),
	},
	Responses: map[string]*huma.Response{"101": {Description: "the connection speaks WebSocket (RFC 6455)"}, "default": problemResponse},
}

// stateMessage is sent at once and after each change, and to a host that was not sent
// events because it reads too slowly.
type stateMessage struct {
	Type   string      `json:"type"`
	State  mixer.State `json:"state"`
	You    string      `json:"you"`
	Missed int64       `json:"missed,omitempty"` // events
}

// errorMessage answers a request that could not be done.
type errorMessage struct {
	Type  string       `json:"type"`
	Error controlError `json:"error"`
}

type controlError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type pongMessage struct {
	Type string `json:"type"`
}

// request is what a client sends; which fields count depends on Type.
type request struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Tier  string `json:"tier"`
	Audio *bool  `json:"audio"`
	Video *bool  `json:"video"`

	Screen *bool `json:"screen"`

	Raised *bool  `json:"raised"`
	Locked *bool  `json:"locked"`
	Layout string `json:"layout"`

	Down int `json:"down"` // bit/s
}

// parseRequest reads one message of a client. Fields it does not know are
// skipped: clients may be newer than the server.
func parseRequest(kind websocket.MessageType, raw []byte) (request, *controlError) {
	var q request
	if kind != websocket.MessageText {
		return q, &controlError{"bad_message", "binary message; send JSON as text"}
	}
	if err := json.Unmarshal(raw, &q); err != nil {
		return q, &controlError{"bad_message", "not the JSON of a message: " + firstLine(err)}
	}
	switch q.Type {
	case "ping":
	case "media":
		if q.Audio == nil && q.Video == nil && q.Screen == nil {
			return q, &controlError{"bad_message", "media: needs audio, video or screen, true or false"}
		}
	case "tier":
		if q.Tier == "" {
			return q, &controlError{"bad_message", "tier: is empty; name one of the ladder"}
		}
	case "mute":
		if q.ID == "" || q.Audio == nil && q.Video == nil {
			return q, &controlError{"bad_message", "mute: needs id, and audio or video, true to mute"}
		}
	case "hand":
		if q.Raised == nil {
			return q, &controlError{"bad_message", "hand: needs raised, true or false"}
		}
	case "lock":
		if q.Locked == nil {
			return q, &controlError{"bad_message", "lock: needs locked, true or false"}
		}
	case "link":
		if q.Down <= 0 {
			return q, &controlError{"bad_message", "link: needs down, bit/s"}
		}
	case "layout":
		if q.Layout == "" {
			return q, &controlError{"bad_message", fmt.Sprintf("layout: is empty; name one of %q", mixer.Layouts())}
		}
	default:
		return q, &controlError{"unknown_type", fmt.Sprintf("type %.40q is none of media, tier, mute, hand, layout, lock, link, ping", q.Type)}
	}
	return q, nil
}

// control serves one control connection:
//
//	mixer ── State, newest only ──▶ write ──▶ client
//	                                 ▲ replies, bounded
//	client ── request ──▶ read ──────┘
//
// A client that reads slowly skips states; one that does not read at all runs
// into the write timeout. Nobody else notices.
func (a *API) control(c *gin.Context) {
	room := c.Param("room")
	offered := subprotocols(c.Request)
	token := c.Query("token")
	if i := slices.Index(offered, subprotocol); i >= 0 && len(offered) > 1 {
		token = offered[(i+1)%len(offered)]
	}
	b, err := a.authorize(c.GetHeader("Authorization"), token, room)
	if err == nil {
		err = a.admissible()
	}
	if err == nil {
		err = a.ensure(room)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	s := &control{api: a, room: room, who: b, brief: c.Query("changes") == "true", replies: make(chan any, 16), limit: rate.NewLimiter(perSecond, burst)}
	// A hijacked request's context knows nothing of its connection.
	s.ctx, s.end = context.WithCancelCause(context.WithoutCancel(c.Request.Context()))
	defer s.end(nil)
	if err := a.hub.add(s); err != nil {
		a.fail(c, err)
		return
	}
	defer a.hub.drop(s)
	states, err := a.cfg.Rooms.Watch(s.ctx, room)
	if err != nil {
		a.fail(c, err)
		return
	}
	s.conn, err = websocket.Accept(c.Writer, c.Request, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // any origin may ask: tokens guard, there are no cookies
		CompressionMode:    websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		a.log.Debug("control connection not made", "room", room, "error", err)
		return // Accept has answered
	}
	s.conn.SetReadLimit(maxMessage)
	a.meters.controls.Inc()
	defer a.meters.controls.Dec()
	s.run(states)
}

func subprotocols(r *http.Request) []string {
	var out []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			out = append(out, strings.TrimSpace(p))
		}
	}
	return out
}

// control is one client's control connection.
type control struct {
	api     *API
	room    string
	who     Bearer
	brief   bool // takes changes
	conn    *websocket.Conn
	ctx     context.Context
	end     context.CancelCauseFunc
	replies chan any
	missed  atomic.Int64 // events for which replies had no room
	limit   *rate.Limiter

	mu    sync.Mutex
	media *request // what the client last said it sends
}

// run lasts as long as the connection and joins what it starts.
func (s *control) run(states <-chan mixer.State) {
	var wg sync.WaitGroup
	// Reading and pinging are not bound to ctx: the closing handshake needs them.
	life, kill := context.WithCancel(context.Background())
	wg.Go(func() { s.end(s.read(life)) })
	wg.Go(func() { s.end(s.ping(life)) })
	err := s.write(states)
	late := time.AfterFunc(closeWithin, kill)
	defer late.Stop()
	switch {
	case errors.Is(err, mixer.ErrRemoved):
		s.conn.Close(closeRemoved, err.Error())
	case errors.Is(err, mixer.ErrRoomClosed):
		s.conn.Close(closeRoomClosed, err.Error())
	case errors.Is(err, errStopping):
		s.conn.Close(websocket.StatusGoingAway, err.Error())
	default:
		s.conn.CloseNow()
	}
	kill()
	wg.Wait()
	s.api.log.Debug("control connection ended", "room", s.room, "participant", s.who.ID, "reason", err)
}

// write sends states and replies until the connection or the room ends.
func (s *control) write(states <-chan mixer.State) error {
	publishes := false
	var told, newest *mixer.State // of changes
	var whole *mixer.State        // as of now
	due := time.NewTimer(0)
	defer due.Stop()
	var last time.Time
	for {
		var message any
		select {
		case <-due.C:
			if newest == nil {
				continue
			}
			c, _, _ := diff(*told, *newest)
			message = changesMessage{"changes", c}
			told, newest, last = newest, nil, time.Now()
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case state, ok := <-states:
			if !ok {
				if s.ctx.Err() != nil {
					return context.Cause(s.ctx)
				}
				return mixer.ErrRoomClosed
			}
			i := slices.IndexFunc(state.Participants, func(m mixer.Member) bool { return m.ID == s.who.ID })
			now := i >= 0 && state.Participants[i].Publishes
			if now && !publishes {
				s.repeatMedia()
			}
			publishes = now
			every, picture := changesEvery, i < 0 || state.Participants[i].Tier != ""
			if !picture && state.Participants[i].Receives {
				every = changesSeldom
			}
			if s.brief {
				state = brief(state, s.who.ID, picture)
			}
			whole = &state
			if told != nil {
				c, some, waits := diff(*told, state)
				if !some {
					newest = nil // as it was told
					continue
				}
				if left := every - time.Since(last); waits && left > 0 {
					newest = &state
					due.Reset(left)
					continue
				}
				message = changesMessage{"changes", c}
			} else {
				message = stateMessage{"state", state, s.who.ID, s.missed.Swap(0)}
			}
			if last, newest = time.Now(), nil; s.brief {
				told = &state
			}
		case message = <-s.replies:
		}
		if err := s.send(message); err != nil {
			return err
		}
		if whole == nil || s.missed.Load() == 0 {
			continue
		}
		if err := s.send(stateMessage{"state", *whole, s.who.ID, s.missed.Swap(0)}); err != nil {
			return err
		}
		if last, newest = time.Now(), nil; s.brief {
			told = whole
		}
	}
}

// send writes one message. It is not cut off when the connection is to end:
// that would take the closing handshake with it.
func (s *control) send(message any) error {
	raw, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("control message: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.api.writeTimeout)
	defer cancel()
	stop := context.AfterFunc(s.ctx, func() {
		t := time.AfterFunc(endGrace, cancel)
		context.AfterFunc(ctx, func() { t.Stop() })
	})
	defer stop()
	return s.conn.Write(ctx, websocket.MessageText, raw)
}

// repeatMedia says again what the client sends, once its source is there: its
// word may have come before, or for a source that was replaced.
func (s *control) repeatMedia() {
	s.mu.Lock()
	q := s.media
	s.mu.Unlock()
	if q != nil {
		if err := s.setMedia(*q); err != nil {
			s.api.log.Debug("media not repeated", "room", s.room, "participant", s.who.ID, "error", err)
		}
	}
}

// setMedia tells the room what the client sends.
func (s *control) setMedia(q request) error {
	if q.Audio != nil || q.Video != nil {
		if err := s.api.cfg.Rooms.SetMedia(s.room, s.who.ID, q.Audio, q.Video); err != nil {
			return err
		}
	}
	if q.Screen == nil {
		return nil
	}
	return s.api.cfg.Rooms.SetScreen(s.room, s.who.ID, *q.Screen)
}

func (s *control) ping(ctx context.Context) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(ctx, pingTimeout)
		err := s.conn.Ping(ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("ping: %w", err)
		}
	}
}

// read does what the client asks, one request after another.
func (s *control) read(ctx context.Context) error {
	for {
		kind, raw, err := s.conn.Read(ctx)
		if err != nil {
			return err
		}
		if err := s.limit.Wait(s.ctx); err != nil {
			return err
		}
		q, bad := parseRequest(kind, raw)
		var reply any
		switch {
		case bad != nil:
			s.api.meters.garbled.Inc()
			reply = errorMessage{"error", *bad}
		case q.Type == "ping":
			reply = pongMessage{"pong"}
		default:
			err := s.do(q)
			if err == nil {
				continue
			}
			p := toProblem(err)
			if p.Status == http.StatusInternalServerError {
				s.api.log.Error("control request failed", "room", s.room, "type", q.Type, "error", err)
			}
			reply = errorMessage{"error", controlError{code(p.Status), p.Detail}}
		}
		select {
		case s.replies <- reply:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

func (s *control) do(q request) error {
	rooms, id := s.api.cfg.Rooms, s.who.ID
	switch q.Type {
	case "media":
		s.mu.Lock()
		if s.media != nil { // what is absent stays as it was said
			if q.Audio == nil {
				q.Audio = s.media.Audio
			}
			if q.Video == nil {
				q.Video = s.media.Video
			}
			if q.Screen == nil {
				q.Screen = s.media.Screen
			}
		}
		s.media = &q
		s.mu.Unlock()
		if err := s.setMedia(q); !errors.Is(err, mixer.ErrNoParticipant) {
			return err
		}
		return nil // repeated when it publishes
	case "tier":
		return s.api.setTier(s.room, id, q.Tier)
	case "link":
		s.api.cfg.Signaler.Carries(s.room, id, q.Down)
		return nil
	case "hand":
		q.ID = cmp.Or(q.ID, id)
		if err := s.api.mayTouch(s.who, s.room, q.ID); err != nil {
			return err
		}
		return rooms.SetHand(s.room, q.ID, *q.Raised)
	case "lock":
		return s.api.rule(s.who, s.room, func() error { return rooms.SetLocked(s.room, *q.Locked) })
	case "layout":
		return s.api.rule(s.who, s.room, func() error { return rooms.SetLayout(s.room, q.Layout) })
	default: // mute
		if err := s.api.mayTouch(s.who, s.room, q.ID); err != nil {
			return err
		}
		return rooms.Mute(s.room, q.ID, q.Audio, q.Video)
	}
}

// code names a status for the control channel.
func code(status int) string {
	return strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_")
}
