package load

import (
	"bufio"
	"context"
	"encoding/gob"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mixdown/codec"
)

// generator is the version of everything that shapes a clip. Whoever changes a
// drawing, a voice or the format counts it up, and old files are made again.
const generator = 2

// ClipConfig is what a set of clips is made for.
type ClipConfig struct {
	Width, Height int
	FPS           int
	Bitrate       int // bit/s
	Speech        bool
	Video, Audio  *codec.Codec
}

// key names a clip among all that were ever made.
func (c ClipConfig) key(id int) string {
	sound := "tones"
	if c.Speech {
		sound = "speech"
	}
	return fmt.Sprintf("v%d-%s-%dx%d-%dfps-%dk-%s-%03d", generator, c.Video.Name, c.Width, c.Height, c.FPS, c.Bitrate/1000, sound, id)
}

// Clip is one loop of one person, coded, and never changed once it is made.
type Clip struct {
	Key    string
	Idle   []Picture // by index in the loop
	Talk   []Picture
	Said   []Packet // as if every slot were a turn
	Silent []byte   // a packet of silence
}

// Picture is one coded frame.
type Picture struct {
	Data     []byte
	Keyframe bool
}

// Packet is 20 ms of coded sound.
type Packet struct {
	Data  []byte
	Level uint8 // -dBov (RFC 6464)
}

// Make draws, speaks and codes the clip of bot id.
func (c ClipConfig) Make(ctx context.Context, id int) (*Clip, error) {
	s := Schedule{FPS: c.FPS}
	offset := s.KeyOffset(id)
	sound, err := say(ctx, id, offset*soundRate/c.FPS, c.Speech)
	if err != nil {
		return nil, err
	}
	clip := &Clip{Key: c.key(id)}
	if clip.Said, clip.Silent, err = c.codeSound(sound); err != nil {
		return nil, err
	}
	person := NewPerson(id, c.Width, c.Height)
	defer person.Close()
	clip.Idle, err = c.codePictures(ctx, offset, s.Loop(), func(f *codec.Frame, index int) {
		person.Draw(f, index, s.Loop(), 0, false)
	})
	if err != nil {
		return nil, err
	}
	clip.Talk, err = c.codePictures(ctx, offset, s.Loop(), func(f *codec.Frame, index int) {
		person.Draw(f, index, s.Loop(), sound.Mouth(float64(index)/float64(c.FPS), c.Speech), true)
	})
	return clip, err
}

// codePictures codes one loop with a keyframe each second, beginning at offset.
func (c ClipConfig) codePictures(ctx context.Context, offset, loop int, draw func(*codec.Frame, int)) ([]Picture, error) {
	enc, err := c.Video.NewVideoEncoder(codec.VideoConfig{
		Width: c.Width, Height: c.Height, FPS: c.FPS, Bitrate: c.Bitrate, KeyInterval: c.FPS, MaxKeyframe: 6,
	})
	if err != nil {
		return nil, fmt.Errorf("%s encoder: %w", c.Video.Name, err)
	}
	defer enc.Close()
	f := codec.NewFrame(c.Width, c.Height)
	defer f.Release()
	out := make([]Picture, loop)
	// The first second goes round twice: rate control settles in it.
	for n := range loop + c.FPS {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		index := (offset + n) % loop
		draw(f, index)
		u, err := enc.Encode(f, time.Duration(n)*time.Second/time.Duration(c.FPS), n%c.FPS == 0)
		if err != nil {
			return nil, fmt.Errorf("%s encoder: frame %d: %w", c.Video.Name, n, err)
		}
		out[index] = Picture{append([]byte(nil), u.Data...), u.Keyframe}
	}
	return out, nil
}

// codeSound codes one loop of sound, and silence.
func (c ClipConfig) codeSound(s *Sound) (said []Packet, silent []byte, err error) {
	enc, err := c.Audio.NewAudioEncoder(codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: soundRate, Channels: 1},
		Bitrate:     32000, Frame: packetTime, Complexity: 5,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s encoder: %w", c.Audio.Name, err)
	}
	defer enc.Close()
	pcm := make([]int16, packetSamples)
	for range 25 {
		b, err := enc.Encode(pcm)
		if err != nil {
			return nil, nil, fmt.Errorf("%s encoder: %w", c.Audio.Name, err)
		}
		silent = append(silent[:0], b...)
	}
	for p := range int(loopPackets) {
		s.packet(p, pcm)
		b, err := enc.Encode(pcm)
		if err != nil {
			return nil, nil, fmt.Errorf("%s encoder: %w", c.Audio.Name, err)
		}
		said = append(said, Packet{append([]byte(nil), b...), s.Level(p)})
	}
	return said, silent, nil
}

// Load returns the clip of bot id from dir, made and kept there if it is not.
func (c ClipConfig) Load(ctx context.Context, dir string, id int) (*Clip, error) {
	path := filepath.Join(dir, c.key(id)+".clip")
	if clip := readClip(path); clip != nil && clip.whole(c, id) {
		return clip, nil
	}
	clip, err := c.Make(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("clip %d: %w", id, err)
	}
	if err := clip.write(path); err != nil {
		return nil, fmt.Errorf("clip %d: %w; choose another directory with --cache", id, err)
	}
	return clip, nil
}

// readClip returns the clip in a file, or nil: a missing or broken one is made anew.
func readClip(path string) *Clip {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	clip := new(Clip)
	if gob.NewDecoder(bufio.NewReaderSize(f, 1<<16)).Decode(clip) != nil {
		return nil
	}
	return clip
}

// whole reports whether nothing of the clip is missing.
func (clip *Clip) whole(c ClipConfig, id int) bool {
	loop := loopSeconds * c.FPS
	return clip.Key == c.key(id) && len(clip.Idle) == loop && len(clip.Talk) == loop && len(clip.Said) == int(loopPackets)
}

// write puts the clip into a file, whole or not at all: other processes may be
// reading and writing the same one.
func (clip *Clip) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once the file has its name
	w := bufio.NewWriter(f)
	err = gob.NewEncoder(w).Encode(clip)
	if e := w.Flush(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
