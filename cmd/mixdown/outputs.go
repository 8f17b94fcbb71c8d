package main

import (
	"log/slog"
	"time"

	"mixdown/codec"
	"mixdown/codec/ffmpeg"
	"mixdown/mixer"
	"mixdown/mixer/cast"
	"mixdown/mixer/outside"
)

// startOutputs wires where rooms' programmes are sent.
func startOutputs(cfg Config, rooms *mixer.Server, notify func(mixer.Event), log *slog.Logger) (*cast.Outputs, error) {
	c := cfg.Outputs
	rules, err := outside.Parse(c.Allow)
	if err != nil {
		return nil, err
	}
	ports, err := c.ports()
	if err != nil {
		return nil, err
	}
	return cast.New(cast.Config{
		Rooms: rooms, Mux: ffmpeg.NewMuxer, Sound: ffmpeg.AACRow(),
		Dial: func(address string, limit time.Duration, cfg codec.MuxConfig) (codec.Muxer, error) {
			return ffmpeg.Dial(address, limit, cfg)
		},
		Rules: rules, Max: c.Max, PerRoom: c.PerRoom, Clients: c.Clients, Ports: ports,
		Width: c.Width, Height: c.Height, FPS: c.FPS, Bitrate: c.Bitrate, SoundBitrate: c.SoundBitrate,
		Channels: cfg.Sound.Channels, Notify: notify, Log: log,
	}), nil
}
