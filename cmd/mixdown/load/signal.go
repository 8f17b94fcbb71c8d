package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mixdown/api"
	"mixdown/mixer"
)

// tokenTTL is how long a minted token is good: as long as anybody runs bots.
const tokenTTL = 30 * 24 * time.Hour

// Door is how bots get into a room: with tokens of their own making, or with
// the room's join key.
type Door struct {
	Base    *url.URL
	Room    string
	Tier    string    // asked for at the offer, may be empty
	Keys    *api.Keys // nil: join with Key
	Key     string
	Client  *http.Client
	Timeout time.Duration // of one request
}

// Session is one WHIP or WHEP session, as the offerer sees it.
type Session struct {
	SDP      string
	location *url.URL
	token    string
}

// refusal is an HTTP answer that is not the one wanted.
type refusal struct {
	method, path string
	status       int
	detail       string
	after        time.Duration // Retry-After
}

func (r *refusal) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", r.method, r.path, r.status, http.StatusText(r.status))
	if r.detail != "" {
		s += ": " + r.detail
	}
	return s
}

// final reports whether trying again cannot help.
func (r *refusal) final() bool {
	return r.status >= 400 && r.status < 500 && r.status != http.StatusRequestTimeout &&
		r.status != http.StatusConflict && r.status != http.StatusTooManyRequests
}

// newClient returns an HTTP client for many bots. insecure accepts any certificate.
func newClient(insecure bool) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	if insecure {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	return &http.Client{Transport: t}
}

// do sends a request and returns the body of an answer of that status.
func (d *Door) do(ctx context.Context, method string, u *url.URL, token, kind string, body []byte, want int) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := d.Client.Do(req)
	if err != nil {
		return nil, nil, explain(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, u.Path, err)
	}
	if resp.StatusCode == want {
		return b, resp.Header, nil
	}
	r := &refusal{method: method, path: u.Path, status: resp.StatusCode}
	var problem struct{ Detail string } // RFC 9457
	if json.Unmarshal(b, &problem) == nil {
		r.detail = problem.Detail
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		r.after = time.Duration(min(s, 30)) * time.Second
	}
	return nil, nil, r
}

// explain adds what to do to errors of a connection that did not come about.
func explain(err error) error {
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		return fmt.Errorf("%w; accept a self-signed certificate with --insecure", err)
	case strings.Contains(err.Error(), "connection refused"):
		return fmt.Errorf("%w; is the server running, and is --url right?", err)
	}
	return err
}

// Enter returns a token for a bot, and the identity that it gives.
func (d *Door) Enter(ctx context.Context, who mixer.Identity) (token, identity string, err error) {
	if d.Keys != nil {
		token, err = d.Keys.Mint(who, d.Room, time.Now(), tokenTTL)
		return token, who.ID, err
	}
	body, err := json.Marshal(map[string]string{"key": d.Key, "name": who.Name})
	if err != nil {
		return "", "", err
	}
	b, _, err := d.do(ctx, http.MethodPost, d.Base.JoinPath("api/v1/rooms", d.Room, "join"), "", "application/json", body, http.StatusOK)
	if err != nil {
		return "", "", err
	}
	var place api.Place
	if err := json.Unmarshal(b, &place); err != nil {
		return "", "", fmt.Errorf("join room %q: answer not understood: %w", d.Room, err)
	}
	return place.Token, place.Identity, nil
}

// Create makes the room, for which it needs Keys. It is no error if it is
// already there.
func (d *Door) Create(ctx context.Context) error {
	if d.Keys == nil {
		return nil
	}
	token, err := d.Keys.Mint(mixer.Identity{ID: "load", Role: mixer.Host}, api.AnyRoom, time.Now(), time.Minute)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"name": d.Room})
	if err != nil {
		return err
	}
	_, _, err = d.do(ctx, http.MethodPost, d.Base.JoinPath("api/v1/rooms"), token, "application/json", body, http.StatusCreated)
	if r := (*refusal)(nil); errors.As(err, &r) && r.status == http.StatusConflict {
		return nil
	}
	return err
}

// Offer posts an offer: to publish and receive the mix, or only to receive it.
func (d *Door) Offer(ctx context.Context, token, sdp string, publish bool) (*Session, error) {
	u := d.Base.JoinPath("whep", d.Room)
	query := url.Values{}
	if publish {
		u = d.Base.JoinPath("whip", d.Room)
		query.Set("return", "mix")
	}
	if d.Tier != "" {
		query.Set("tier", d.Tier)
	}
	u.RawQuery = query.Encode()
	b, header, err := d.do(ctx, http.MethodPost, u, token, "application/sdp", []byte(sdp), http.StatusCreated)
	if err != nil {
		return nil, err
	}
	location, err := u.Parse(header.Get("Location"))
	if err != nil || header.Get("Location") == "" {
		return nil, fmt.Errorf("POST %s: answer has no usable Location (RFC 9725, section 4.2)", u.Path)
	}
	return &Session{SDP: string(b), location: location, token: token}, nil
}

// Hangup ends a session.
func (d *Door) Hangup(ctx context.Context, s *Session) error {
	_, _, err := d.do(ctx, http.MethodDelete, s.location, s.token, "", nil, http.StatusOK)
	return err
}

// State returns who is in the room and what is where.
func (d *Door) State(ctx context.Context, token string) (s mixer.State, err error) {
	b, _, err := d.do(ctx, http.MethodGet, d.Base.JoinPath("api/v1/rooms", d.Room, "state"), token, "", nil, http.StatusOK)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(b, &s)
	return s, err
}

// parseBase checks --url. A ws or a page's link would be a mistake.
func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(s, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("--url %q: want http(s)://HOST[:PORT] of a mixdown server", s)
	}
	return u, nil
}
