package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mixdown/cmd/mixdown/load"
	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/compositor"
	"mixdown/mixer"
)

// How the bots send, as `mixdown load` does by itself, and how many speak at
// once.
const (
	jobWidth, jobHeight = 640, 360
	jobFPS              = 25
	jobBitrate          = 500_000
	jobTalkers          = 4
)

// job is what is compared: n people's streams to one picture and one sound, in
// real time, with the settings of a server nobody configured.
type job struct {
	n        int
	schedule load.Schedule
	clips    []*load.Clip
	video    *codec.Codec
	audio    *codec.Codec
	tier     mixer.TierSpec
	sound    mixer.SoundSpec
	places   []compositor.Rect
}

// newJob loads the clips that the first n bots send; those that are missing are
// made.
func newJob(ctx context.Context, n int) (*job, error) {
	codecs, cfg := catalog.Default(), mixer.DefaultConfig()
	j := &job{
		n: n, schedule: load.Schedule{FPS: jobFPS, Bots: n, Talkers: jobTalkers},
		video: codecs.Find("VP8"), audio: codecs.Find("opus"), tier: cfg.Ladder[0], sound: cfg.Sound,
	}
	if j.video == nil || j.audio == nil {
		return nil, errors.New("this build has no VP8 or no opus, which the bots send")
	}
	if shown, more := compositor.Places(n); more > 0 {
		return nil, fmt.Errorf("%d people: a gallery shows %d at most", n, shown+1)
	}
	j.places = compositor.Grid(n, j.tier.Width, j.tier.Height)
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir() // as the bots do
	}
	made := load.ClipConfig{
		Width: jobWidth, Height: jobHeight, FPS: jobFPS, Bitrate: jobBitrate, Speech: true, Video: j.video, Audio: j.audio,
	}
	for id := range n {
		clip, err := made.Load(ctx, filepath.Join(base, "mixdown", "clips"), id)
		if err != nil {
			return nil, err
		}
		j.clips = append(j.clips, clip)
	}
	return j, nil
}

// picture is frame n of person id, as a bot sends it.
func (j *job) picture(id int, n int64) *load.Picture {
	clip := j.clips[id].Idle
	if j.schedule.TalkingFrame(id, n) {
		clip = j.clips[id].Talk
	}
	return &clip[j.schedule.Index(n)]
}

// packet is packet n of sound of person id, and whether it is the person's turn.
func (j *job) packet(id int, n int64) (data []byte, talks bool) {
	clip := j.clips[id]
	if !j.schedule.Talks(id, n/ticksPerSlot) {
		return clip.Silent, false
	}
	return clip.Said[n%int64(len(clip.Said))].Data, true
}

// ticksPerSlot is a turn in packets of sound: four seconds.
const ticksPerSlot = 200
