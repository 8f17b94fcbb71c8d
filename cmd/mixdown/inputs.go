package main

import (
	"log/slog"
	"os/exec"

	"mixdown/codec/ffmpeg"
	"mixdown/mixer"
	"mixdown/mixer/input"
	"mixdown/mixer/outside"
)

// startInputs wires what is played into rooms.
func startInputs(cfg Config, rooms *mixer.Server, notify func(mixer.Event), log *slog.Logger) (*input.Inputs, error) {
	rules, err := outside.Parse(cfg.Inputs.Allow)
	if err != nil {
		return nil, err
	}
	speaker, err := exec.LookPath("espeak-ng")
	if err != nil {
		log.Debug("texts cannot be spoken", "error", err)
	}
	return input.New(input.Config{
		Rooms: rooms, Open: ffmpeg.OpenMedia, Folder: cfg.Inputs.Folder, Rules: rules,
		Max: cfg.Inputs.Max, PerRoom: cfg.Inputs.PerRoom, GiveUp: cfg.Inputs.GiveUp,
		Channels: cfg.Sound.Channels, Pixels: 1920 * 1088, Speaker: speaker, Notify: notify, Log: log,
	})
}
