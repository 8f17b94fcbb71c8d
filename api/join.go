package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"mixdown/mixer"
)

type joinInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body struct {
		Key      string `json:"key,omitempty" maxLength:"128" doc:"what stands behind # in the link; open rooms need none"`
		Name     string `json:"name" maxLength:"512" doc:"as others shall see it, 1 to 64 characters after trimming" example:"Ada"`
		Token    string `json:"token,omitempty" maxLength:"4096" doc:"of an earlier join: keeps that identity, so that a reload takes over its own place"`
		Identity string `json:"identity,omitempty" maxLength:"128" doc:"of the earlier join; only a check, the token tells"`
	}
}

// Place is what joining gives. whip and control are relative to the server.
type Place struct {
	Token      string      `json:"token"`
	Identity   string      `json:"identity"`
	Name       string      `json:"name"`
	Role       mixer.Role  `json:"role" enum:"host,participant,viewer"`
	Room       string      `json:"room"`
	Expires    time.Time   `json:"expires"`
	ICEServers []ICEServer `json:"ice_servers" nullable:"false"`
	Tiers      []string    `json:"tiers" nullable:"false" doc:"names of the ladder, best first"`
	LowData    string      `json:"low_data" doc:"the one of tiers for who wants to spend little"`
	WHIP       string      `json:"whip" doc:"where to offer: one connection that publishes and receives"`
	Control    string      `json:"control" doc:"the control WebSocket"`
	Calls      bool        `json:"calls,omitempty" doc:"this bearer may call telephones from the room"`
}

func (a *API) join(ctx context.Context, in *joinInput) (*struct{ Body Place }, error) {
	if err := a.admissible(); err != nil {
		return nil, err
	}
	now := a.cfg.Now()
	address, _ := ctx.Value(addressKey).(string)
	if wait := a.doors.wait(address, now); wait > 0 {
		a.meters.refused.Inc()
		return nil, newProblem(http.StatusTooManyRequests, "too many wrong keys from this address; try again in %v", wait.Round(time.Second)).
			with("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	name := cleanName(in.Body.Name)
	if name == "" || utf8.RuneCountInString(in.Body.Name) > 4*maxName {
		return nil, newProblem(http.StatusUnprocessableEntity, "name: must have 1 to %d visible characters", maxName)
	}

	role := mixer.Participant
	if keys, known := a.cfg.Registry.Get(in.Room); known {
		var ok bool
		if role, ok = keys.Role(in.Body.Key); !ok {
			a.doors.fail(address, now)
			a.meters.refused.Inc()
			return nil, forbidden("the key does not open room %q; copy the whole link, with what stands behind #", in.Room)
		}
	}
	if err := a.ensure(in.Room); err != nil {
		if toProblem(err).Status == http.StatusNotFound {
			a.doors.fail(address, now) // rooms' names are not to be guessed either
		}
		return nil, a.problem(err)
	}

	who := mixer.Identity{ID: a.formerIdentity(in, role, now), Name: name, Role: role}
	if who.ID == "" {
		who.ID = "p-" + randomText(9)
	}
	if err := a.cfg.Rooms.LockedOut(in.Room, who); err != nil {
		return nil, a.problem(err)
	}
	base, _ := ctx.Value(baseKey).(string)
	token, err := a.cfg.Keys.Mint(who, in.Room, now, a.cfg.TokenTTL)
	if err != nil {
		return nil, a.problem(fmt.Errorf("mint: %w", err))
	}
	p := Place{
		Token:      token,
		Identity:   who.ID,
		Name:       who.Name,
		Role:       role,
		Room:       in.Room,
		Expires:    now.Add(a.cfg.TokenTTL).UTC().Truncate(time.Second),
		ICEServers: a.iceServers(in.Room, who.ID, base),
		Tiers:      append([]string{}, a.cfg.Rooms.Tiers()...),
		LowData:    a.cfg.Rooms.LowData(),
		WHIP:       "/whip/" + in.Room + "?return=mix",
		Control:    prefix + "/rooms/" + in.Room + "/control",
		Calls:      role == mixer.Host && a.phones.caller != nil && a.phones.dials,
	}
	return &struct{ Body Place }{p}, nil
}

// formerIdentity is whom the token of an earlier join names, or empty: one that
// is no longer good makes its bearer somebody new, which is no error.
func (a *API) formerIdentity(in *joinInput, role mixer.Role, now time.Time) string {
	if in.Body.Token == "" {
		return ""
	}
	b, err := a.cfg.Keys.Verify(in.Body.Token, now)
	if err != nil || b.Room != in.Room || b.Role != role || a.removed.has(in.Room, b) {
		return ""
	}
	if in.Body.Identity != "" && in.Body.Identity != b.ID {
		return ""
	}
	return b.ID
}

// doors limits how often one address may try a wrong key.
type doors struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

const (
	wrongKeys  = 10              // at once
	wrongEvery = 6 * time.Second // and then one
	maxDoors   = 10_000          // addresses that are remembered
)

func newDoors() *doors { return &doors{by: map[string]*rate.Limiter{}} }

// wait returns how long an address is locked out.
func (d *doors) wait(address string, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.by[network(address)]
	if l == nil {
		return 0
	}
	if have := l.TokensAt(now); have < 1 {
		return time.Duration((1 - have) * float64(wrongEvery))
	}
	return 0
}

// fail counts a wrong key.
func (d *doors) fail(address string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := network(address)
	l := d.by[key]
	if l == nil {
		if len(d.by) >= maxDoors {
			d.sweep(now)
		}
		l = rate.NewLimiter(rate.Every(wrongEvery), wrongKeys)
		d.by[key] = l
	}
	l.AllowN(now, 1)
}

// sweep forgets who has been quiet for long enough; if that is nobody, all.
func (d *doors) sweep(now time.Time) {
	for key, l := range d.by {
		if l.TokensAt(now) >= wrongKeys {
			delete(d.by, key)
		}
	}
	if len(d.by) >= maxDoors {
		clear(d.by)
	}
}

// network is what one person holds of the address space: an IPv4 address, or
// an IPv6 /64.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}

// removals remembers who was removed by a host: their old tokens do not let
// them back in, the room's key does.
type removals struct {
	mu sync.Mutex
	at map[[2]string]time.Time
}

// maxRemovals bounds the memory; the oldest is forgotten first.
const maxRemovals = 10_000

func newRemovals() *removals { return &removals{at: map[[2]string]time.Time{}} }

func (r *removals) add(room, id string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) >= maxRemovals {
		var oldest [2]string
		first := now
		for k, t := range r.at {
			if t.Before(first) {
				oldest, first = k, t
			}
		}
		delete(r.at, oldest)
	}
	r.at[[2]string{room, id}] = now
}

// has reports whether b's token is from before its removal. Tokens tell time
// in whole seconds.
func (r *removals) has(room string, b Bearer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.at[[2]string{room, b.ID}]
	return ok && !b.Issued.After(t)
}
