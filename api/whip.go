package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"mixdown/mixer"
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag" // RFC 8840, section 9
)

// offerTimeout bounds how long a transport may take to answer an offer.
const offerTimeout = 10 * time.Second

var problemResponse = &huma.Response{Ref: "#/components/responses/Problem"}

// whipRoutes serves WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep), which
// differ in who sends.
func (a *API) whipRoutes() {
	components := a.rest.OpenAPI().Components
	components.Responses = map[string]*huma.Response{
		"Problem": {Description: "problem details (RFC 9457)", Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/ErrorModel"}},
		}},
	}
	tier := queryParameter("tier", "the tier of the mix to receive, a name of the ladder, or sound for no pictures")
	a.offerRoute("whip", "Publish; answered recvonly, or sendrecv with return=mix", a.publish, queryParameter("return", "mix: the same connection receives the room's mix"), tier)
	a.offerRoute("whep", "View the room's mix; answered sendonly", a.watch, tier)
}

func (a *API) offerRoute(kind, summary string, offer gin.HandlerFunc, query ...*huma.Param) {
	path := "/" + kind + "/{room}"
	a.rawOperation(&huma.Operation{
		Method: http.MethodPost, Path: path, OperationID: kind + "-offer", Summary: summary,
		Tags: []string{kind}, Security: guarded, Parameters: query,
		RequestBody: &huma.RequestBody{Required: true, Content: text(typeSDP)},
		Responses: map[string]*huma.Response{
			"201":     {Description: "the answer; Location is the session, ETag its ICE session, Link its ICE servers", Content: text(typeSDP)},
			"default": problemResponse,
		},
	}, offer)
	a.rawOperation(&huma.Operation{
		Method: http.MethodPatch, Path: path + "/{id}", OperationID: kind + "-patch", Summary: "Trickle candidates, or restart ICE with If-Match: *",
		Tags: []string{kind}, Security: guarded,
		Parameters:  []*huma.Param{{Name: "If-Match", In: "header", Description: "the ETag of the last answer, or * to restart ICE; clients of old drafts send none", Schema: &huma.Schema{Type: "string"}}},
		RequestBody: &huma.RequestBody{Required: true, Content: text(typeFragment)},
		Responses: map[string]*huma.Response{
			"200":     {Description: "ICE was restarted; ETag is the new one", Content: text(typeFragment)},
			"204":     {Description: "the candidates were taken"},
			"default": problemResponse,
		},
	}, a.patch)
	a.rawOperation(&huma.Operation{
		Method: http.MethodDelete, Path: path + "/{id}", OperationID: kind + "-hangup", Summary: "End the session",
		Tags: []string{kind}, Security: guarded,
		Responses: map[string]*huma.Response{"200": {Description: "it has ended"}, "default": problemResponse},
	}, a.hangup)
	// The answer to OPTIONS is in cors; the routes tell it which resource it is.
	a.engine.OPTIONS("/"+kind+"/:room", func(*gin.Context) {})
	a.engine.OPTIONS("/"+kind+"/:room/:id", func(*gin.Context) {})
}

func (a *API) publish(c *gin.Context) {
	s := mixer.Session{Publish: true}
	switch v := c.Query("return"); v {
	case "":
	case "mix":
		s.Receive = true
	default:
		a.fail(c, newProblem(http.StatusBadRequest, "return=%.20s: only return=mix is known", v))
		return
	}
	a.offer(c, "whip", s)
}

func (a *API) watch(c *gin.Context) { a.offer(c, "whep", mixer.Session{Receive: true}) }

// offer starts a session.
func (a *API) offer(c *gin.Context, kind string, s mixer.Session) {
	s.Room = c.Param("room")
	b, err := a.authorize(c.GetHeader("Authorization"), "", s.Room)
	if err != nil {
		a.fail(c, err)
		return
	}
	if err := a.admissible(); err != nil {
		a.fail(c, err)
		return
	}
	if s.Publish && b.Role == mixer.Viewer {
		a.fail(c, forbidden("the token's role is viewer, which may not publish; view with POST /whep/%s", s.Room))
		return
	}
	s.Identity = b.Identity
	if s.Want.Tier = c.Query("tier"); s.Want.Tier != "" {
		if err := a.knownTier(s.Want.Tier); err != nil {
			a.fail(c, err)
			return
		}
	}
	sdp, err := readBody(c, typeSDP)
	if err != nil {
		a.fail(c, err)
		return
	}
	if err := a.ensure(s.Room); err != nil {
		a.fail(c, err)
		return
	}
	// The transport joins once it is connected; a full room is said now.
	if err := a.cfg.Rooms.Admit(s.Room, s.Identity); err != nil {
		a.fail(c, err)
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), offerTimeout)
	defer cancel()
	began := time.Now()
	answer, err := a.cfg.Signaler.Offer(ctx, s, sdp)
	if err != nil {
		a.fail(c, fmt.Errorf("room %q: participant %q: %w", s.Room, s.Identity.ID, err))
		return
	}
	c.Header("Location", "/"+kind+"/"+s.Room+"/"+answer.ID)
	c.Header("ETag", quoted(answer.ETag))
	// The page takes what an offer took to get here for its way up's rate: this was not it.
	c.Header("Server-Timing", fmt.Sprintf("answer;dur=%.1f", float64(time.Since(began).Microseconds())/1000))
	for _, link := range iceLinks(a.iceServers(s.Room, s.Identity.ID, a.base(c))) {
		c.Writer.Header().Add("Link", link)
	}
	c.Data(http.StatusCreated, typeSDP, []byte(answer.SDP))
}

// session finds the session of a request, if its bearer may touch it.
func (a *API) session(c *gin.Context) (id string, err error) {
	room, id := c.Param("room"), c.Param("id")
	b, err := a.authorize(c.GetHeader("Authorization"), "", room)
	if err != nil {
		return "", err
	}
	s, ok := a.cfg.Signaler.Session(id)
	if !ok || s.Room != room {
		return "", fmt.Errorf("room %q: %w; it may have ended, offer again", room, mixer.ErrNoSession)
	}
	if b.ID != s.Identity.ID && !b.Host(room) {
		return "", forbidden("the session belongs to somebody else")
	}
	return id, nil
}

// patch takes candidates or restarts ICE (RFC 9725, section 4.3).
func (a *API) patch(c *gin.Context) {
	id, err := a.session(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	fragment, err := readBody(c, typeFragment)
	if err != nil {
		a.fail(c, err)
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), offerTimeout)
	defer cancel()
	answer, etag, err := a.cfg.Signaler.Patch(ctx, id, c.GetHeader("If-Match"), fragment)
	if etag != "" {
		c.Header("ETag", quoted(etag))
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	if answer == "" {
		c.Status(http.StatusNoContent)
		return
	}
	c.Data(http.StatusOK, typeFragment, []byte(answer))
}

func (a *API) hangup(c *gin.Context) {
	id, err := a.session(c)
	if err == nil {
		err = a.cfg.Signaler.Hangup(c.Request.Context(), id)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Status(http.StatusOK)
}

// readBody reads a whole body of that type, up to maxBody.
func readBody(c *gin.Context, want string) (string, error) {
	got, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || !strings.EqualFold(got, want) {
		return "", newProblem(http.StatusUnsupportedMediaType, "the body's Content-Type is %.80q; send %s", c.GetHeader("Content-Type"), want)
	}
	// Bounded as it comes, too: gzip may go on for ever and hold nothing.
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	plain, err := decoded(c.Request)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, plain, maxBody))
	if err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return "", err
		}
		return "", newProblem(http.StatusBadRequest, "the body broke off")
	}
	if len(body) == 0 {
		return "", newProblem(http.StatusBadRequest, "the body is empty; send %s", want)
	}
	return string(body), nil
}

// quoted writes an entity tag as RFC 9110, section 8.8.3, wants it.
func quoted(etag string) string {
	if strings.HasPrefix(etag, `"`) || strings.HasPrefix(etag, "W/") {
		return etag
	}
	return `"` + etag + `"`
}

// iceServers lists what a member of a room is told of. The relays know it by a
// name that says nothing of it.
func (a *API) iceServers(room, identity, base string) []ICEServer {
	out := append([]ICEServer{}, a.cfg.ICEServers...)
	if a.cfg.Relays == nil {
		return out
	}
	host := base
	if u, err := url.Parse(base); err == nil {
		host = u.Hostname()
	}
	sum := sha256.Sum256([]byte(room + "\x00" + identity))
	return append(out, a.cfg.Relays(hex.EncodeToString(sum[:8]), host, a.cfg.Now().Add(a.cfg.TokenTTL))...)
}

// iceLinks writes ICE servers as Link headers (RFC 9725, section 4.6).
func iceLinks(servers []ICEServer) []string {
	var out []string
	for _, s := range servers {
		for _, u := range s.URLs {
			link := "<" + u + `>; rel="ice-server"`
			if s.Username != "" {
				link += fmt.Sprintf(`; username="%s"; credential="%s"; credential-type="password"`, escape(s.Username), escape(s.Credential))
			}
			out = append(out, link)
		}
	}
	return out
}

// escape writes the inside of a quoted-string (RFC 9110, section 5.6.4).
func escape(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) }
