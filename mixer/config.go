package mixer

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"
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
	// Programmes is how many shapes of programme a room has at once, each of which
	// is an encoder; 0 means 1.
	Programmes int
	// Fonts are folders to look for fonts in; none means the system's.
	Fonts []string
	// NewDenoiser opens what Sound.Denoise wants; nil: there is none.
	NewDenoiser func(rate, channels int) (audio.Denoiser, error)
	// Notify is told what hosts and people have decided: room.locked, room.unlocked,
	// room.layout, hand.raised, hand.lowered. It must not block; nil: nobody is.
	Notify func(Event)
	Log    *slog.Logger
}

// Bounds of a tier's bit rate, bit/s.
const minBitrate, maxBitrate = 10_000, 20_000_000

// TierSpec is one rung of the ladder.
type TierSpec struct {
	Name          string
	Width, Height int     // even
	FPS           float64 // may be under 1: 0.5 is a picture every 2 s
	Bitrate       int     // bit/s
	MTU           int     // largest RTP payload, bytes
	// Silent is how often a silent person's tile is drawn, a second: 0 follows
	// from Bitrate, FPS or more is always.
	Silent float64
	// GOP is the longest time from one keyframe to the next; 0: they come when
	// asked for.
	GOP time.Duration
	// A programme's only: Layout is one of Layouts, empty the gallery; Nameless
	// leaves people's names off their pictures.
	Layout   string
	Nameless bool
}

// programme is the name of all tiers that Want.Programme asks for.
const programme = "programme"

// check says what is wrong with a spec, or "".
func (t TierSpec) check() string {
	switch {
	case t.Width < 16 || t.Height < 16 || t.Width%2+t.Height%2 != 0:
		return fmt.Sprintf(": %dx%d: width and height must be even and at least 16", t.Width, t.Height)
	case !(t.FPS >= minFPS && t.FPS <= maxFPS):
		return fmt.Sprintf(".fps: %v is not in %v…%v", t.FPS, minFPS, maxFPS)
	case t.Bitrate < minBitrate || t.Bitrate > maxBitrate:
		return fmt.Sprintf(".bitrate: %d bit/s is not in %d…%d", t.Bitrate, minBitrate, maxBitrate)
	case (t.MTU < 100 || t.MTU > 1400) && !(t.MTU == 0 && t.Name == programme):
		return fmt.Sprintf(".mtu: %d is not in 100…1400", t.MTU)
	case !(t.Silent == 0 || t.Silent >= minSilent && t.Silent <= maxFPS):
		return fmt.Sprintf(".silent: %v is neither 0 nor in %v…%v", t.Silent, minSilent, maxFPS)
	case t.Layout != "" && (t.Name != programme || !slices.Contains(Layouts(), t.Layout)):
		return fmt.Sprintf(".layout: %.20q is none of %q", t.Layout, Layouts())
	case t.GOP < 0:
		return fmt.Sprintf(".gop: %v is under 0", t.GOP)
	}
	return ""
}

// String tells a programme's shape.
func (t TierSpec) String() string {
	names := ""
	if t.Nameless {
		names = " without names"
	}
	return fmt.Sprintf("%s%s of %dx%d, %v/s, %d bit/s", cmp.Or(t.Layout, gallery), names, t.Width, t.Height, t.FPS, t.Bitrate)
}

// Bounds of a tier's pictures a second.
const minFPS, maxFPS = 0.1, 60

// interval is the time from one picture to the next.
func (t TierSpec) interval() time.Duration { return time.Duration(float64(time.Second) / t.FPS) }

// maxKeyframe is how many pictures' worth a keyframe may be: 0.25 s of the rate,
// because so long it holds up the pictures after it on a link that just carries
// the tier.
func (t TierSpec) maxKeyframe() float64 { return max(1.5, 0.25*t.FPS) }

// codecFPS is the rate that an encoder is told, which is a whole number.
func (t TierSpec) codecFPS() int { return max(1, int(math.Round(t.FPS))) }

// SoundSpec is the room's sound.
type SoundSpec struct {
	Channels   int
	Tones      []Tone // what receivers' sound can be made at, best first; the first is the default
	Complexity int
	MaxOpen    int     // K, the loudest sources in the sum
	Loss       float64 // packet loss that in-band repair is made for at least, 0 to 1
	Level      bool    // bring talkers, and several at once, to a common loudness
	Denoise    bool    // take noise out of every sender's sound
}

// Tone is one rung of the sound.
type Tone struct {
	Bitrate int           // bit/s of one encoder
	Packet  time.Duration // length of one packet: 20, 40 or 60 ms
}

// DefaultTones are for speech. A packet's headers take 25.6 kbit/s at 20 ms, 12.8 at 40 and 8.5 at
// 60, and what a packet is longer is heard as delay, twice: it is waited for here, and kept there. So
// the last one is for links that carry nothing else. Below 11 kbit/s Opus gives up half of its bandwidth.
func DefaultTones() []Tone {
	return []Tone{
		{32_000, 20 * time.Millisecond},
		{16_000, 40 * time.Millisecond},
		{12_000, 40 * time.Millisecond},
		{11_000, 60 * time.Millisecond},
	}
}

// Bounds of a tone's bit rate, bit/s (RFC 6716, section 2.1.1).
const minToneRate, maxToneRate = 6_000, 510_000

// DefaultConfig returns the configuration of a server nobody configured.
func DefaultConfig() Config {
	return Config{
		Ladder: []TierSpec{
			{Name: "720p", Width: 1280, Height: 720, FPS: 25, Bitrate: 1_500_000, MTU: 1160},
			{Name: "540p", Width: 960, Height: 540, FPS: 25, Bitrate: 700_000, MTU: 1160},
			{Name: "360p", Width: 640, Height: 360, FPS: 15, Bitrate: 300_000, MTU: 1160},
			// From here on a whole packet would stand before sound for too long.
			{Name: "270p", Width: 480, Height: 270, FPS: 15, Bitrate: 150_000, MTU: 800},
			{Name: "240p", Width: 426, Height: 240, FPS: 10, Bitrate: 75_000, MTU: 560},
			{Name: "180p", Width: 320, Height: 180, FPS: 6, Bitrate: 38_000, MTU: 400},
			{Name: "slides", Width: 320, Height: 180, FPS: 1.5, Bitrate: 11_000, MTU: 200},
		},
		Sound:           SoundSpec{Channels: 1, Tones: DefaultTones(), Complexity: 5, MaxOpen: 6, Loss: 0.05, Level: true},
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
		if t.Name == "" || t.Name == programme || t.Name == SoundOnly || strings.HasSuffix(t.Name, TwinMark) || names[t.Name] {
			bad("ladder[%d].name: %q is empty or taken", i, t.Name)
		} else if wrong := t.check(); wrong != "" {
			bad("ladder[%d]%s", i, wrong)
		} else if before := c.Ladder[max(0, i-1)]; t.Bitrate > before.Bitrate {
			bad("ladder[%d].bitrate: %d bit/s is over that of %q, and the best comes first", i, t.Bitrate, before.Name)
		}
		names[t.Name] = true
	}
	if c.Sound.Channels != 1 && c.Sound.Channels != 2 {
		bad("sound.channels: %d is neither 1 nor 2", c.Sound.Channels)
	}
	if len(c.Sound.Tones) == 0 {
		bad("sound.tones: at least one is needed")
	}
	for i, t := range c.Sound.Tones {
		switch before := c.Sound.Tones[max(0, i-1)]; {
		case t.Bitrate < minToneRate || t.Bitrate > maxToneRate:
			bad("sound.bitrate: %d bit/s is not in %d…%d", t.Bitrate, minToneRate, maxToneRate)
		case t.Packet != soundTick && t.Packet != 2*soundTick && t.Packet != 3*soundTick:
			bad("sound.tones[%d].packet: %v is none of 20, 40 and 60 ms", i, t.Packet)
		case t.Bitrate > before.Bitrate || t.Packet < before.Packet: // shorter ones have more headers
			bad("sound.tones[%d]: takes more than the one before it", i)
		}
	}
	if !(c.Sound.Loss >= 0 && c.Sound.Loss <= 1) {
		bad("sound.loss: %v is not in 0…1", c.Sound.Loss)
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

// SoundOnly is the name of the tier of who asks for no pictures. No ladder has it.
const SoundOnly = "sound"

// wanted is the tier that w asks for.
func (c Config) wanted(w Want) (TierSpec, error) {
	if w.Programme == nil {
		return c.tier(w.Tier)
	}
	spec := *w.Programme
	spec.Name = programme
	if spec.Layout == gallery {
		spec.Layout = "" // one is as the other
	}
	if wrong := spec.check(); wrong != "" {
		return spec, fmt.Errorf("%s%s: %w", programme, wrong, ErrBadProgramme)
	}
	return spec, nil
}

func (c Config) tier(name string) (TierSpec, error) {
	switch name {
	case "":
		return c.Ladder[0], nil
	case SoundOnly:
		return TierSpec{Name: SoundOnly}, nil
	}
	for _, t := range c.Ladder {
		if t.Name == name {
			return t, nil
		}
	}
	return TierSpec{}, fmt.Errorf("tier %q: %w", name, ErrNoTier)
}
