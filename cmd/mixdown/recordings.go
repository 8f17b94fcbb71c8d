package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"mixdown/codec"
	"mixdown/codec/ffmpeg"
	"mixdown/mixer"
	"mixdown/mixer/outside"
	"mixdown/mixer/record"
	"mixdown/mixer/webhook"
)

// RecordingsConfig is how rooms are recorded.
type RecordingsConfig struct {
	Dir       string        `koanf:"dir"` // empty: recordings in the data directory
	Format    string        `koanf:"format"`
	Width     int           `koanf:"width"`
	Height    int           `koanf:"height"`
	FPS       float64       `koanf:"fps"`
	Bitrate   int           `koanf:"bitrate"`    // of pictures, bit/s
	Split     time.Duration `koanf:"split"`      // after which another file begins; 0 never
	MaxLength time.Duration `koanf:"max_length"` // of one recording; 0: no bound
	MaxSize   int64         `koanf:"max_size"`   // too, bytes
	AtOnce    int           `koanf:"at_once"`    // recordings
	MinFree   int64         `koanf:"min_free"`   // bytes of the disk that are left alone
	Keep      time.Duration `koanf:"keep"`       // 0: for good
	KeepSize  int64         `koanf:"keep_size"`  // bytes of all of them; 0: no bound
	KeepLocal bool          `koanf:"keep_local"` // what was uploaded, too
	S3        S3Config      `koanf:"s3"`
}

// S3Config is the bucket that recordings go to as well; no endpoint: none.
type S3Config struct {
	Endpoint string `koanf:"endpoint"`
	Region   string `koanf:"region"`
	Bucket   string `koanf:"bucket"`
	Prefix   string `koanf:"prefix"`
	Key      string `koanf:"key"`
	Secret   string `koanf:"secret"`
}

// WebhooksConfig is who is told of what happens.
type WebhooksConfig struct {
	URLs   []string `koanf:"urls"`
	Secret string   `koanf:"secret"` // whsec_ and base64
	Allow  []string `koanf:"allow"`  // addresses: see outside.Parse
}

func defaultRecordings() RecordingsConfig {
	return RecordingsConfig{
		Format: "mp4", Width: 1280, Height: 720, FPS: 25, Bitrate: 2_000_000,
		AtOnce: 16, MinFree: 1 << 30, KeepLocal: true,
	}
}

// spec is what a recording is that does not say.
func (c RecordingsConfig) spec() mixer.RecordingSpec {
	return mixer.RecordingSpec{
		Format: c.Format, Width: c.Width, Height: c.Height, FPS: c.FPS, Bitrate: c.Bitrate,
		Split: c.Split.Seconds(), MaxLength: c.MaxLength.Seconds(), MaxSize: c.MaxSize,
	}
}

// validate names every key that is wrong.
func (c RecordingsConfig) validate(bad report) {
	if err := record.Check(c.spec()); err != nil {
		bad("recordings: %w", err)
	}
	for key, v := range map[string]int64{
		"at_once": int64(c.AtOnce), "min_free": c.MinFree, "keep": int64(c.Keep), "keep_size": c.KeepSize,
		"split": int64(c.Split), "max_length": int64(c.MaxLength), "max_size": c.MaxSize,
	} {
		if v < 0 {
			bad("recordings.%s: is under 0", key)
		}
	}
	if s := c.S3; s.Endpoint != "" {
		if s.Bucket == "" || s.Key == "" || s.Secret == "" {
			bad("recordings.s3: needs bucket, key and secret")
		}
		if _, err := record.NewS3(record.S3Config(s)); err != nil {
			bad("recordings.s3.endpoint: %w", err)
		}
	}
}

// startRecordings wires recordings; tell is told of what happens to them.
func startRecordings(cfg Config, rooms *mixer.Server, codecs codec.Set, tell func(mixer.Event), log *slog.Logger) (*record.Recorder, error) {
	c := cfg.Recordings
	out := record.Config{
		Dir: c.Dir, Spec: c.spec(), MinFree: c.MinFree, Most: c.AtOnce, Keep: c.Keep, KeepSize: c.KeepSize,
		Rooms: rooms, Sound: codec.AudioFormat{Rate: 48_000, Channels: cfg.Sound.Channels},
		Codecs: codec.Set{codecs.Find("opus"), ffmpeg.AACRow()}, NewMuxer: ffmpeg.NewMuxer, Remux: ffmpeg.Remux,
		KeepLocal: c.KeepLocal, Notify: tell, Log: log,
	}
	if out.Dir == "" {
		out.Dir = filepath.Join(cfg.DataDir, "recordings")
	}
	if c.S3.Endpoint != "" {
		s3, err := record.NewS3(record.S3Config(c.S3))
		if err != nil {
			return nil, fmt.Errorf("recordings.s3: %w", err)
		}
		out.Store = s3
	}
	return record.Open(out)
}

// startWebhooks wires who is told.
func startWebhooks(cfg Config, log *slog.Logger) (*webhook.Sender, error) {
	rules, err := outside.Parse(cfg.Webhooks.Allow)
	if err != nil {
		return nil, fmt.Errorf("webhooks.allow%w", err)
	}
	hooks, err := webhook.New(webhook.Config{URLs: cfg.Webhooks.URLs, Secret: cfg.Webhooks.Secret, Rules: rules, Folder: filepath.Join(cfg.DataDir, "webhooks"), Log: log})
	if err != nil {
		return nil, fmt.Errorf("webhooks.%w", err)
	}
	return hooks, nil
}
