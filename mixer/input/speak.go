package input

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"mixdown/mixer"
)

// maxText bounds what is spoken at once, in bytes: about a minute.
const maxText = 1000

// maxSpeech bounds the sound that comes of it, in bytes: espeak-ng's is 22 kHz
// mono.
const maxSpeech = 22050 * 2 * 180

// voiceName is how espeak-ng calls a voice: en-gb, de+f3.
var voiceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]{0,31}$`)

// speak has a text spoken by espeak-ng.
func (in *Inputs) speak(ctx context.Context, text, voice string) (io.ReadSeeker, error) {
	if in.cfg.Speaker == "" {
		return nil, fmt.Errorf("%w: texts cannot be spoken here, espeak-ng is not installed; play a file", mixer.ErrBadInput)
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: the text has over %d bytes", mixer.ErrBadInput, maxText)
	}
	args := []string{"--stdout", "--stdin"}
	if voice != "" {
		if !voiceName.MatchString(voice) {
			return nil, fmt.Errorf("%w: voice %.40q is no name of one, such as en-gb or de", mixer.ErrBadInput, voice)
		}
		args = append(args, "-v", voice)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, in.cfg.Speaker, args...)
	cmd.Stdin = strings.NewReader(text)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: espeak-ng: %w", mixer.ErrBadInput, err)
	}
	wav, err := io.ReadAll(io.LimitReader(out, maxSpeech))
	if err == nil && len(wav) == maxSpeech {
		cancel()
	}
	if failed := cmd.Wait(); failed != nil && len(wav) < maxSpeech {
		return nil, fmt.Errorf("%w: espeak-ng: %w: %.100s", mixer.ErrBadInput, failed, complaint.String())
	}
	return bytes.NewReader(wav), err
}
