package mixer

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"mixdown/mixer/audio"
)

// Config is what an operator decides about rooms.
type Config struct {
	// Ladder is the tiers a receiver can be on, best first. The first is the
	// default.
	Ladder []TierSpec
	Sound  SoundSpec
	// MaxParticipants bounds a room's members.
	MaxParticipants int
	// Budget is how much encoding, composing and decoding of pictures the server
	// may do each second, in computing time of one core; 0 means three quarters
	// of the cores there are.
	Budget time.Duration
	// DecodeWorkers is the size of the decoding pool all rooms share.
	DecodeWorkers int
	// Limits are what one sender's pictures may cost.
	Limits Limits
	// StalePicture is the age at which a sender's last picture is dimmed, and
	// GonePicture the age at which its name takes the picture's place.
	StalePicture, GonePicture time.Duration
	// KeyframeHold is the least distance of two keyframes of a tier that losses
	// and moves ask for, JoinHold that of those that newcomers ask for.
	KeyframeHold, JoinHold time.Duration
	// TierLinger is how long a tier without listeners stays open.
	TierLinger time.Duration
	// Fonts are folders to look for fonts in; none means the system's.
	Fonts []string
	// NewDenoiser opens what Sound.Denoise wants; nil: there is none.
	NewDenoiser func(rate, channels int) (audio.Denoiser, error)
	Log         *slog.Logger
}

// Bounds of a tier's bit rate, bit/s.
const minBitrate, maxBitrate = 10_000, 20_000_000

// TierSpec is one rung of the ladder.
type TierSpec struct {
	Name          string
	Width, Height int // even
	FPS           int
	Bitrate       int // bit/s
	MTU           int // largest RTP payload, bytes
}

// SoundSpec is the room's sound.
type SoundSpec struct {
	Channels   int
	Bitrate    int // bit/s of one encoder
	Complexity int
	MaxOpen    int     // K, the loudest sources in the sum
	Loss       float64 // packet loss that in-band repair is made for, 0 to 1
	Level      bool    // bring talkers, and several at once, to a common loudness
	Denoise    bool    // take noise out of every sender's sound
}

// DefaultConfig returns the configuration of a server nobody configured.
func DefaultConfig() Config {
	return Config{
		Ladder: []TierSpec{
			{Name: "720p", Width: 1280, Height: 720, FPS: 25, Bitrate: 1_500_000, MTU: 1160},
			{Name: "360p", Width: 640, Height: 360, FPS: 15, Bitrate: 300_000, MTU: 1160},
		},
		Sound:           SoundSpec{Channels: 1, Bitrate: 32_000, Complexity: 5, MaxOpen: 6, Loss: 0.05, Level: true},
		MaxParticipants: 1000,
		DecodeWorkers:   runtime.NumCPU(),
		Limits:          DefaultLimits(),
		StalePicture:    5 * time.Second,
		GonePicture:     60 * time.Second,
		KeyframeHold:    4 * time.Second,
		JoinHold:        300 * time.Millisecond,
		TierLinger:      3 * time.Second,
		Log:             slog.Default(),
	}
}

// Validate names the key that is wrong.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Ladder) == 0 {
		bad("ladder: at least one tier is needed")
	}
	names := map[string]bool{}
	for i, t := range c.Ladder {
		switch {
		case t.Name == "" || names[t.Name]:
			bad("ladder[%d].name: %q is empty or taken", i, t.Name)
		case t.Width < 16 || t.Height < 16 || t.Width%2+t.Height%2 != 0:
			bad("ladder[%d]: %dx%d: width and height must be even and at least 16", i, t.Width, t.Height)
		case t.FPS < 1 || t.FPS > 60:
			bad("ladder[%d].fps: %d is not in 1…60", i, t.FPS)
		case t.Bitrate < minBitrate || t.Bitrate > maxBitrate:
			bad("ladder[%d].bitrate: %d bit/s is not in %d…%d", i, t.Bitrate, minBitrate, maxBitrate)
		case t.MTU < 100 || t.MTU > 1400:
			bad("ladder[%d].mtu: %d is not in 100…1400", i, t.MTU)
		}
		names[t.Name] = true
	}
	if c.Sound.Channels != 1 && c.Sound.Channels != 2 {
		bad("sound.channels: %d is neither 1 nor 2", c.Sound.Channels)
	}
	if c.Sound.MaxOpen < 1 {
		bad("sound.max_open: %d is under 1", c.Sound.MaxOpen)
	}
	if c.Sound.Denoise && c.NewDenoiser == nil {
		bad("sound.denoise: this server has no denoiser")
	}
	if c.DecodeWorkers < 1 {
		bad("decode_workers: %d is under 1", c.DecodeWorkers)
	}
	if err := c.Limits.validate(); err != nil {
		bad("%w", err)
	}
	if c.Budget < 0 {
		bad("budget: %v is under 0", c.Budget)
	}
	if c.MaxParticipants < 1 {
		bad("max_participants: %d is under 1", c.MaxParticipants)
	}
	return errors.Join(errs...)
}

func (c Config) tier(name string) (TierSpec, error) {
	if name == "" {
		return c.Ladder[0], nil
	}
	for _, t := range c.Ladder {
		if t.Name == name {
			return t, nil
		}
	}
	return TierSpec{}, fmt.Errorf("tier %q: %w", name, ErrNoTier)
}
