package turn

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// A login takes two requests. These are per address, behind which may be an
	// office with everybody coming in at nine; who has an allocation is not limited.
	loginRate   = 50
	loginBurst  = 400
	maxRemember = 10_000 // addresses, users
)

// doors limits requests of those who have no allocation yet, by address: a
// wrong password costs an HMAC, and shall not cost more in sum.
type doors struct {
	mu sync.Mutex
	by map[netip.Prefix]*rate.Limiter
}

func (d *doors) admit(from netip.Addr, now time.Time) bool {
	from = from.Unmap().WithZone("")
	bits := 32
	if from.Is6() {
		bits = 64 // what one person holds
	}
	key, err := from.Prefix(bits)
	if err != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.by[key]
	if l == nil {
		if len(d.by) >= maxRemember {
			d.sweep(now)
		}
		l = rate.NewLimiter(loginRate, loginBurst)
		d.by[key] = l
	}
	return l.AllowN(now, 1)
}

// sweep forgets who has been quiet for long enough; if that is nobody, all.
func (d *doors) sweep(now time.Time) {
	for key, l := range d.by {
		if l.TokensAt(now) >= loginBurst {
			delete(d.by, key)
		}
	}
	if len(d.by) >= maxRemember {
		clear(d.by)
	}
}

// users holds the quotas.
type users struct {
	allocations int
	bitrate     int

	mu sync.Mutex
	by map[string]*account
}

// account is what a user has.
type account struct {
	allocations int
	last        time.Time
	up, down    *rate.Limiter // bytes a second, of all its allocations together
}

// take counts one more allocation, nil if the user has enough of them.
func (u *users) take(name string, now time.Time) *account {
	u.mu.Lock()
	defer u.mu.Unlock()
	a := u.by[name]
	if a == nil {
		if len(u.by) >= maxRemember {
			u.sweep(now)
		}
		bytes := u.bitrate / 8
		burst := max(bytes/2, 64<<10) // a keyframe
		a = &account{up: rate.NewLimiter(rate.Limit(bytes), burst), down: rate.NewLimiter(rate.Limit(bytes), burst)}
		u.by[name] = a
	}
	a.last = now
	if a.allocations >= u.allocations {
		return nil
	}
	a.allocations++
	return a
}

func (u *users) giveBack(a *account, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	a.allocations--
	a.last = now
}

// sweep forgets users without allocations whose bandwidth is whole again.
func (u *users) sweep(now time.Time) {
	for name, a := range u.by {
		if a.allocations == 0 && now.Sub(a.last) > time.Minute {
			delete(u.by, name)
		}
	}
}
