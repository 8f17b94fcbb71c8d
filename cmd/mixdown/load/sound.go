package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strconv"
)

const (
	soundRate     = 48000 // Hz, mono
	packetSamples = soundRate / 50
	slotSamples   = slotSeconds * soundRate
	loopSamples   = loopSeconds * soundRate

	// talkEnd is when a speaker falls silent in a slot, in samples: the next one
	// is heard clear of it.
	talkEnd = soundRate * 38 / 10
	fade    = soundRate / 50
)

// Loudness of what is said, in parts of full scale: the peak of the tone alone,
// the peak of the tone under speech, and speech as the mean square of its loud parts.
const (
	toneAlone  = 0.10
	toneUnder  = 0.05
	speechLoud = 0.08
)

// toneHz is the frequency by which bot id is told from all others. Tones stand
// on a grid of 50 Hz, 400 to 2850 Hz for the first 50 bots; each makes whole
// turns in a slot, so loops have no click. Neighbours by number, who speak at
// the same time, are 650 Hz apart: the noise that coding adds around a tone
// would hide how silent the next one is.
func toneHz(id int) float64 { return 400 + 50*float64(id/50*50+id*13%50) }

// Sound is one loop of a bot's voice as it would be if every slot were its turn.
type Sound struct {
	PCM    []float32 // loopSamples, 1 is full scale
	levels []float64 // mean square of each packet
}

// say makes the voice of bot id: its tone, and with speech two sentences, one
// a slot. It starts where the bot's keyframe is, from samples into each slot.
func say(ctx context.Context, id, from int, speech bool) (*Sound, error) {
	s := &Sound{PCM: make([]float32, loopSamples)}
	loud := toneAlone
	if speech {
		loud = toneUnder
	}
	for slot := range 2 {
		voice := make([]float64, talkEnd-from)
		if speech {
			said, err := espeak(ctx, id, sentence(id, slot))
			if err != nil {
				return nil, err
			}
			copy(voice, said)
		}
		at := slot*slotSamples + from
		for i, v := range voice {
			v += loud * math.Sin(2*math.Pi*toneHz(id)*float64(at+i)/soundRate)
			v *= min(1, float64(i)/fade, float64(len(voice)-i)/fade)
			s.PCM[at+i] = float32(v)
		}
	}
	s.levels = make([]float64, loopPackets)
	for p := range s.levels {
		for _, v := range s.PCM[p*packetSamples:][:packetSamples] {
			s.levels[p] += float64(v) * float64(v) / packetSamples
		}
	}
	return s, nil
}

// Level returns packet p's level in -dBov, 0 to 127 (RFC 6464, section 3).
func (s *Sound) Level(p int) uint8 {
	return uint8(max(0, min(127, math.Round(-10*math.Log10(s.levels[p]+1e-13)))))
}

// Mouth returns how far the mouth is open at a time in the loop, in seconds:
// 0 to 1, following the loudness above the tone's. Without speech the tone
// opens and closes it.
func (s *Sound) Mouth(at float64, speech bool) float64 {
	p := int(at * soundRate / packetSamples)
	if p < 0 || p >= len(s.levels) || s.levels[p] < 1e-6 {
		return 0
	}
	if !speech {
		return 0.5 - 0.5*math.Cos(2*math.Pi*3.5*at)
	}
	sum := 0.0
	for q := max(0, p-1); q <= min(len(s.levels)-1, p+1); q++ {
		sum += max(0, s.levels[q]-toneUnder*toneUnder/2) / 3
	}
	return min(1, math.Sqrt(sum)/(1.5*speechLoud))
}

// packet writes packet p as 16-bit PCM.
func (s *Sound) packet(p int, pcm []int16) {
	for i, v := range s.PCM[p*packetSamples:][:packetSamples] {
		pcm[i] = int16(max(-32768, min(32767, math.Round(float64(v)*32767))))
	}
}

// names are the people's; who comes after the last one gets a number, too.
var names = [...]string{
	"Ada", "Boris", "Chidi", "Dana", "Emeka", "Fatima", "Georg", "Hana", "Ivan", "Jasmin",
	"Kofi", "Lena", "Marco", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Tara",
	"Uli", "Vera", "Wei", "Ximena", "Yusuf", "Zoe", "Amir", "Bella", "Carlos", "Daria",
	"Erik", "Freya", "Gita", "Hugo", "Ines", "Jonas", "Kira", "Liam", "Mina", "Noel",
	"Olga", "Pavel", "Rana", "Sven", "Tomas", "Una", "Viktor", "Wanda", "Yara", "Zeno",
}

// personName is what bot id is called.
func personName(id int) string {
	n := names[id%len(names)]
	if id >= len(names) {
		n += " " + strconv.Itoa(id/len(names)+1)
	}
	return n
}

// sentence is what bot id says in a slot of its loop.
func sentence(id, slot int) string {
	openings := [...]string{
		"Hello, this is %s, can everybody hear me?",
		"%s here. The picture looks good on my side.",
		"Good morning from %s. Shall we begin?",
		"I am %s, and I am at my desk today.",
		"%s speaking. I have two short points.",
	}
	thoughts := [...]string{
		"We measured it again, and the numbers are the same.",
		"The train was late, so I joined from the station.",
		"One picture for everybody, whatever the link carries.",
		"I will send the notes around after lunch.",
		"Could we look at the second page once more?",
		"That is fine with me, let us go on.",
		"My window is open, I hope you do not hear the street.",
	}
	if slot%2 == 0 {
		return fmt.Sprintf(openings[id%len(openings)], personName(id))
	}
	return thoughts[id%len(thoughts)]
}

// espeak speaks a text in bot id's voice: samples at soundRate, of the loudness
// of all speech here.
func espeak(ctx context.Context, id int, text string) ([]float64, error) {
	voices := [...]string{"en-us+m3", "en-gb+f2", "en-us+m1", "en-gb+f4", "en-gb-scotland+m7", "en-us+f5", "en-gb+m5"}
	cmd := exec.CommandContext(ctx, "espeak-ng", "-v", voices[id%len(voices)],
		"-s", strconv.Itoa(170+id*7%25), "-p", strconv.Itoa(35+id*13%35), "--stdout", text)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	wav, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("espeak-ng is not installed: `apt-get install espeak-ng`, or use --sound tones")
	}
	if err != nil {
		return nil, fmt.Errorf("espeak-ng: %w: %.200s", err, complaint.Bytes())
	}
	samples, rate, err := parseWAV(wav)
	if err != nil {
		return nil, fmt.Errorf("espeak-ng: %w", err)
	}
	return level(resample(samples, rate)), nil
}

// parseWAV reads mono 16-bit PCM. The lengths that a program writing to a pipe
// gives are not believed.
func parseWAV(b []byte) (samples []float64, rate int, err error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, 0, errors.New("its output is no WAV file")
	}
	for b = b[12:]; len(b) >= 8; {
		name, size := string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		body := b[:min(size, int64(len(b)))]
		switch {
		case name == "fmt " && len(body) >= 16:
			if binary.LittleEndian.Uint16(body) != 1 || binary.LittleEndian.Uint16(body[2:]) != 1 || binary.LittleEndian.Uint16(body[14:]) != 16 {
				return nil, 0, errors.New("its output is not mono 16-bit PCM")
			}
			rate = int(binary.LittleEndian.Uint32(body[4:]))
		case name == "data" && rate >= 8000 && rate <= 192000:
			samples = make([]float64, len(body)/2)
			for i := range samples {
				samples[i] = float64(int16(binary.LittleEndian.Uint16(body[2*i:]))) / 32768
			}
			return samples, rate, nil
		}
		b = b[min(size+size&1, int64(len(b))):]
	}
	return nil, 0, errors.New("its output has no sound in it")
}

// resample brings samples to soundRate along straight lines; speech at 22 kHz
// has next to nothing up where that is heard.
func resample(in []float64, rate int) []float64 {
	out := make([]float64, max(0, len(in)-1)*soundRate/rate)
	for i := range out {
		at := float64(i) * float64(rate) / soundRate
		n := int(at)
		if n+1 >= len(in) {
			return out[:i]
		}
		out[i] = in[n] + (in[n+1]-in[n])*(at-float64(n))
	}
	return out
}

// level brings the loud parts of speech to speechLoud, in place.
func level(s []float64) []float64 {
	sum, n := 0.0, 0
	for _, v := range s {
		if v*v > 1e-4 {
			sum, n = sum+v*v, n+1
		}
	}
	if n == 0 {
		return s
	}
	gain := speechLoud / math.Sqrt(sum/float64(n))
	for i := range s {
		s[i] = max(-0.6, min(0.6, s[i]*gain))
	}
	return s
}
