package sip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// prompt is something that is said to a caller.
type prompt string

const (
	promptPIN       prompt = "pin"
	promptWrong     prompt = "wrong"
	promptGoodbye   prompt = "goodbye"
	promptWelcome   prompt = "welcome"
	promptMuted     prompt = "muted"
	promptUnmuted   prompt = "unmuted"
	promptCameraOff prompt = "camera-off"
	promptCameraOn  prompt = "camera-on"
	promptAllMuted  prompt = "all-muted"
	promptHostsOnly prompt = "hosts-only"
	promptHandUp    prompt = "hand-up"
	promptHandDown  prompt = "hand-down"
	promptGallery   prompt = "layout-gallery"
	promptSpeaker   prompt = "layout-speaker"
	promptScreen    prompt = "layout-screen"
	promptLocked    prompt = "locked"
	promptUnlocked  prompt = "unlocked"
	promptLockedOut prompt = "locked-out"
	promptKeys      prompt = "keys"
	promptHostKeys  prompt = "keys-host"
)

// texts are what is said, unless a file says it otherwise.
func texts() map[prompt]string {
	const keys = "Star one mutes you, or lets you be heard. Star two switches your camera off, or on. Star three raises your hand, or lowers it."
	return map[prompt]string{
		promptPIN:       "Please enter your PIN, followed by the hash key.",
		promptWrong:     "This PIN is wrong. Please try again.",
		promptGoodbye:   "This PIN is wrong. Goodbye.",
		promptWelcome:   "You are in the room.",
		promptMuted:     "You are muted.",
		promptUnmuted:   "You can be heard.",
		promptCameraOff: "Your camera is off.",
		promptCameraOn:  "Your camera is on.",
		promptAllMuted:  "Everybody else is muted.",
		promptHostsOnly: "Only hosts may do that.",
		promptHandUp:    "Your hand is raised.",
		promptHandDown:  "Your hand is lowered.",
		promptGallery:   "Everybody is shown alike.",
		promptSpeaker:   "Who speaks is shown large.",
		promptScreen:    "The screen is shown large.",
		promptLocked:    "The room is locked.",
		promptUnlocked:  "The room is open.",
		promptLockedOut: "This room is locked. Goodbye.",
		promptKeys:      keys,
		promptHostKeys:  keys + " Star four changes the layout. Star five mutes everybody else. Star six locks the room, or opens it.",
	}
}

// Prompts says where the voice is kept.
type Prompts struct {
	Dir   string // of NAME.wav, 16 bit PCM; those that are missing are made there; empty: signals instead of a voice
	Voice string // of espeak-ng; empty: en
}

// promptRate is what prompts are played at, mono.
const promptRate = 48000

// prompts is all that can be said, as 48 kHz mono.
type prompts struct {
	pcm    map[prompt][]int16
	silent []prompt // for which there is a signal only
}

// loadPrompts reads the files of the folder, and has espeak-ng speak those
// that are not there. Without it a signal stands in: long for what is asked,
// low for what is wrong.
func loadPrompts(cfg Prompts) (*prompts, error) {
	p := &prompts{pcm: map[prompt][]int16{}}
	for name, text := range texts() {
		p.pcm[name] = signal(name)
		if cfg.Dir == "" {
			p.silent = append(p.silent, name)
			continue
		}
		path := filepath.Join(cfg.Dir, string(name)+".wav")
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err := speak(path, text, cfg.Voice); err != nil {
				p.silent = append(p.silent, name)
				continue
			}
			raw, err = os.ReadFile(path)
		}
		if err != nil {
			return nil, fmt.Errorf("sip.prompts: %w", err)
		}
		pcm, rate, err := parseWAV(raw)
		if err != nil {
			return nil, fmt.Errorf("sip.prompts: %s: %w; remove it to have it made anew", path, err)
		}
		p.pcm[name] = resample(pcm, rate, promptRate)
	}
	return p, nil
}

// speak makes a file with espeak-ng.
func speak(path, text, voice string) error {
	if voice == "" {
		voice = "en"
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	part := path + ".part"
	if err := exec.CommandContext(ctx, "espeak-ng", "-v", voice, "-s", "150", "-w", part, text).Run(); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, path)
}

// signal is the tone that stands in for a voice.
func signal(name prompt) []int16 {
	hz, parts := 880.0, 2
	switch name {
	case promptPIN:
		hz, parts = 660, 3
	case promptWrong, promptGoodbye, promptHostsOnly, promptLockedOut:
		hz = 330
	}
	const on, off = promptRate * 15 / 100, promptRate / 10
	var pcm []int16
	for range parts {
		for i := range on {
			edge := min(1, float64(min(i, on-i))/480)
			pcm = append(pcm, int16(6000*edge*math.Sin(2*math.Pi*hz*float64(i)/promptRate)))
		}
		pcm = append(pcm, make([]int16, off)...)
	}
	return pcm
}

// parseWAV reads RIFF WAVE of 16 bit PCM, and makes it mono.
func parseWAV(raw []byte) (pcm []int16, rate int, err error) {
	if len(raw) < 12 || string(raw[:4]) != "RIFF" || string(raw[8:12]) != "WAVE" {
		return nil, 0, errors.New("no WAVE file")
	}
	channels := 0
	for raw = raw[12:]; len(raw) >= 8; {
		size := int64(binary.LittleEndian.Uint32(raw[4:]))
		body := raw[8:]
		if size > int64(len(body)) {
			size = int64(len(body)) // espeak-ng writing to a pipe does not know
		}
		body = body[:size]
		switch string(raw[:4]) {
		case "fmt ":
			if size < 16 || binary.LittleEndian.Uint16(body) != 1 || binary.LittleEndian.Uint16(body[14:]) != 16 {
				return nil, 0, errors.New("is not 16 bit PCM")
			}
			channels, rate = int(binary.LittleEndian.Uint16(body[2:])), int(binary.LittleEndian.Uint32(body[4:]))
			if channels < 1 || channels > 8 || rate < 8000 || rate > 192000 {
				return nil, 0, fmt.Errorf("has %d channels at %d Hz", channels, rate)
			}
		case "data":
			if channels == 0 {
				return nil, 0, errors.New("data before format")
			}
			for i := 0; i+2*channels <= len(body); i += 2 * channels {
				sum := 0
				for ch := range channels {
					sum += int(int16(binary.LittleEndian.Uint16(body[i+2*ch:])))
				}
				pcm = append(pcm, int16(sum/channels))
			}
			return pcm, rate, nil
		}
		raw = raw[8+min(size+size&1, int64(len(raw)-8)):]
	}
	return nil, 0, errors.New("has no sound")
}

// resample changes the rate with a windowed sinc of 32 taps: it is done once.
func resample(in []int16, from, to int) []int16 {
	if from == to || len(in) == 0 {
		return in
	}
	const half = 16
	cut := min(1, float64(to)/float64(from))
	out := make([]int16, len(in)*to/from)
	for i := range out {
		at := float64(i) * float64(from) / float64(to)
		var sum, weights float64
		for k := int(at) - half + 1; k <= int(at)+half; k++ {
			x := at - float64(k)
			w := 0.5 + 0.5*math.Cos(math.Pi*x/half) // Hann
			if x != 0 {
				w *= math.Sin(math.Pi*x*cut) / (math.Pi * x * cut)
			}
			weights += w
			if k >= 0 && k < len(in) {
				sum += w * float64(in[k])
			}
		}
		out[i] = int16(max(-32768, min(32767, math.Round(sum/weights))))
	}
	return out
}
