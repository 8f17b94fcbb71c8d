package mixer

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Limits are what one sender's pictures may cost. What goes beyond is not
// decoded and counted: that sender's tile stands still and nobody else's does.
type Limits struct {
	// Pixels is the largest picture that is decoded, in luma samples.
	Pixels int
	// FPS is how many pictures a second are taken.
	FPS int
	// Decode is how much of a core their decoding may take, over half a second.
	Decode float64
}

// Bounds of Limits.Pixels: a thumbnail, and twice 8K.
const minPixels, maxPixels = 320 * 180, 8192 * 8192

// DefaultLimits takes 4K at 30 fps from a camera, on a machine that decodes a
// picture of it in 12 ms.
func DefaultLimits() Limits {
	return Limits{Pixels: 4096 * 2304, FPS: 60, Decode: 0.35}
}

func (l Limits) validate() error {
	var errs []error
	if l.Pixels < minPixels || l.Pixels > maxPixels {
		errs = append(errs, fmt.Errorf("limits.pixels: %d is not in %d…%d", l.Pixels, minPixels, maxPixels))
	}
	if l.FPS < 1 || l.FPS > 1000 {
		errs = append(errs, fmt.Errorf("limits.fps: %d is not in 1…1000", l.FPS))
	}
	if !(l.Decode > 0 && l.Decode <= 1) {
		errs = append(errs, fmt.Errorf("limits.decode: %v of a core is not over 0 and up to 1", l.Decode))
	}
	return errors.Join(errs...)
}

// allowance is time that fills up with the wall clock's, at a share of it. It
// can be overdrawn: what a picture costs is known only when it is decoded.
type allowance struct {
	share float64
	most  time.Duration
	left  time.Duration
	at    time.Time
}

// fill brings the allowance up to now and returns what there is of it.
func (a *allowance) fill(now time.Time) time.Duration {
	if a.at.IsZero() {
		a.left = a.most
	} else if d := now.Sub(a.at); d > 0 {
		a.left = min(a.left+time.Duration(float64(d)*a.share), a.most)
	}
	a.at = now
	return a.left
}

// spend takes d off the allowance.
func (a *allowance) spend(d time.Duration, now time.Time) {
	a.fill(now)
	a.left -= d
}

// limiter holds one sender to the Limits.
type limiter struct {
	rate    allowance // of pictures; one costs its share of a second
	decode  allowance
	picture time.Duration
}

const (
	// fpsMargin is for clocks that differ and pictures that come in heaps.
	fpsMargin = 1.1
	// decodeWindow is how long a sender may decode without a pause: a keyframe
	// and what waited for it.
	decodeWindow = 500 * time.Millisecond
)

func newLimiter(l Limits) limiter {
	return limiter{
		rate:    allowance{share: 1, most: time.Second},
		decode:  allowance{share: l.Decode, most: time.Duration(float64(decodeWindow) * l.Decode)},
		picture: time.Duration(float64(time.Second) / (float64(l.FPS) * fpsMargin)),
	}
}

// admit reports whether one more picture may be decoded.
func (l *limiter) admit(now time.Time) bool {
	if l.rate.fill(now) < l.picture || l.decode.fill(now) <= 0 {
		return false
	}
	l.rate.left -= l.picture
	return true
}

// threadTime is the CPU time of the calling thread: on a busy machine a sender
// does not pay for what others keep it waiting.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
