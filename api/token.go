package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"mixdown/mixer"
)

// AnyRoom in a grant stands for all rooms. With role host it is the operator's
// token, which makes and deletes rooms.
const AnyRoom = "*"

// leeway is how far clocks of token makers may be off.
const leeway = 10 * time.Second

// Claims is the payload of a token, a JWT (RFC 7519) signed with HS256:
//
//	{"iss": KEY ID, "sub": IDENTITY, "name": NAME, "room": {"room": ROOM, "role": ROLE}, "iat", "nbf", "exp"}
//
// ROLE is host, participant or viewer. exp is required.
type Claims struct {
	jwt.RegisteredClaims
	Name string `json:"name,omitempty"`
	Room Grant  `json:"room"`
}

// Grant is what a token lets its bearer be, and where.
type Grant struct {
	Room string     `json:"room"`
	Role mixer.Role `json:"role"`
}

// Bearer is whom a good token names.
type Bearer struct {
	mixer.Identity
	Room            string
	Issued, Expires time.Time
}

// Admin reports whether the token is an operator's.
func (b Bearer) Admin() bool { return b.Room == AnyRoom && b.Role == mixer.Host }

// In reports whether the token is for that room.
func (b Bearer) In(room string) bool { return b.Room == room || b.Room == AnyRoom }

// Host reports whether its bearer is a host of that room.
func (b Bearer) Host(room string) bool { return b.Role == mixer.Host && b.In(room) }

// Mint signs a token for who in a room that is good from now for ttl.
func (k Keys) Mint(who mixer.Identity, room string, now time.Time, ttl time.Duration) (string, error) {
	b := Bearer{Identity: who, Room: room}
	if err := b.validate(); err != nil {
		return "", err
	}
	if ttl <= 0 {
		return "", fmt.Errorf("time to live %v: must be over zero", ttl)
	}
	claims := Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    k.ID,
			Subject:   who.ID,
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Name: who.Name,
		Room: Grant{Room: room, Role: who.Role},
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(k.Secret))
}

// Verify checks a token at the time now. Its error is a 401 Problem.
func (k Keys) Verify(token string, now time.Time) (Bearer, error) {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), // none and all others are refused
		jwt.WithIssuer(k.ID),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(leeway),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	var claims Claims
	_, err := parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return []byte(k.Secret), nil })
	switch {
	case err == nil:
	case errors.Is(err, jwt.ErrTokenExpired):
		return Bearer{}, unauthorized("invalid_token", "the token has expired; join again or mint a new one")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return Bearer{}, unauthorized("invalid_token", "the token is not valid yet; compare the clocks of its maker and this server")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return Bearer{}, unauthorized("invalid_token", "the token is not signed with this server's key (HS256, key id as iss)")
	default:
		return Bearer{}, unauthorized("invalid_token", "the token is not usable: %s", firstLine(err))
	}
	b := Bearer{
		Identity: mixer.Identity{ID: claims.Subject, Name: cleanName(claims.Name), Role: claims.Room.Role},
		Room:     claims.Room.Room,
		Expires:  claims.ExpiresAt.Time,
	}
	if claims.IssuedAt != nil {
		b.Issued = claims.IssuedAt.Time
	}
	if b.Name == "" {
		b.Name = b.ID
	}
	if err := b.validate(); err != nil {
		return Bearer{}, unauthorized("invalid_token", "the token is not usable: %v", err)
	}
	return b, nil
}

func (b Bearer) validate() error {
	if b.ID == "" || len(b.ID) > 128 || !utf8.ValidString(b.ID) || strings.ContainsFunc(b.ID, unicode.IsControl) {
		return errors.New("identity (sub): must be 1 to 128 bytes without control characters")
	}
	if b.Room != AnyRoom && !validRoom(b.Room) {
		return fmt.Errorf("room %.80q: must be a room's name, or * for all rooms", b.Room)
	}
	switch b.Role {
	case mixer.Host, mixer.Participant, mixer.Viewer:
		return nil
	}
	return fmt.Errorf("role %.40q: must be host, participant or viewer", string(b.Role))
}

// authorize reads the token of a request and checks that it is for room; an
// empty room is any. token is a token that came another way, used when there is
// no Authorization header.
func (a *API) authorize(header, token, room string) (Bearer, error) {
	if header != "" {
		scheme, rest, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Bearer{}, unauthorized("", "the Authorization header has scheme %.20q; use Authorization: Bearer TOKEN", scheme)
		}
		token = strings.TrimSpace(rest)
	}
	if token == "" {
		return Bearer{}, unauthorized("", "a token is needed; send Authorization: Bearer TOKEN, from POST /api/v1/rooms/{room}/join or `mixdown token`")
	}
	b, err := a.cfg.Keys.Verify(token, a.cfg.Now())
	if err != nil {
		return Bearer{}, err
	}
	if room == "" {
		return b, nil
	}
	if !b.In(room) {
		return Bearer{}, forbidden("the token is for room %q, not for %.80q", b.Room, room)
	}
	if a.removed.has(room, b) {
		return Bearer{}, forbidden("a host removed %q from room %q; this token does not let it back in", b.ID, room)
	}
	return b, nil
}

// admissible says whether sessions may start now.
func (a *API) admissible() error {
	if !a.ready.Load() {
		return newProblem(http.StatusServiceUnavailable, "the server is starting or stopping").with("Retry-After", "5")
	}
	return nil
}

// firstLine keeps an error's text printable and short.
func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Sprintf("%.200s", strings.ToValidUTF8(s, "?"))
}

// maxName is the longest name of a person, in characters.
const maxName = 64

// cleanName strips what would disturb a name on a tile: control characters,
// direction overrides, surrounding and doubled white space. It cuts at maxName.
func cleanName(name string) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range name {
		switch {
		case unicode.IsSpace(r):
			space = n > 0
			continue
		case r == utf8.RuneError, unicode.IsControl(r),
			// Joiners (U+200C, U+200D) belong to scripts and emoji, other format
			// characters are invisible or turn the text around.
			unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d':
			continue
		}
		if space {
			if n++; n >= maxName {
				break
			}
			b.WriteByte(' ')
			space = false
		}
		if n++; n > maxName {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
