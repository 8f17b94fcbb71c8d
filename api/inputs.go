package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"mixdown/mixer"
)

// InputPath names an input.
type InputPath struct {
	Room  string `path:"room" maxLength:"64" example:"demo"`
	Input string `path:"input" maxLength:"64" doc:"its id"`
}

// maxStart bounds a place in a file, in seconds: ten days.
const maxStart = 864000

type playInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body struct {
		URL    string  `json:"url,omitempty" maxLength:"2048" doc:"http(s) (a file, a picture, HLS), rtmp(s), rtsp(s) or srt; which hosts are allowed is the server's inputs.allow" example:"https://media.example.org/film.mp4"`
		File   string  `json:"file,omitempty" maxLength:"1024" doc:"or a file below the server's inputs.folder" example:"intro.mp4"`
		Name   string  `json:"name,omitempty" maxLength:"64" doc:"on its tile; absent: what is played"`
		Loop   bool    `json:"loop,omitempty" doc:"begins again at its end"`
		Start  float64 `json:"start,omitempty" minimum:"0" maximum:"864000" doc:"seconds from the beginning"`
		Volume float64 `json:"volume,omitempty" minimum:"0" maximum:"4" default:"1" doc:"1 is as it is"`
	}
}

type announceInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body struct {
		File   string  `json:"file,omitempty" maxLength:"1024" doc:"a file below the server's inputs.folder" example:"gong.wav"`
		Text   string  `json:"text,omitempty" maxLength:"1000" doc:"or words to be spoken" example:"The break ends in five minutes."`
		Voice  string  `json:"voice,omitempty" maxLength:"32" doc:"for text: espeak-ng's name of a voice" example:"en-gb"`
		Volume float64 `json:"volume,omitempty" minimum:"0" maximum:"4" default:"1"`
	}
}

type changeInput struct {
	InputPath
	Body struct {
		Paused   *bool    `json:"paused,omitempty" doc:"here and below: absent leaves as is"`
		Loop     *bool    `json:"loop,omitempty"`
		Position *float64 `json:"position,omitempty" minimum:"0" maximum:"864000" doc:"seconds to go to"`
		Volume   *float64 `json:"volume,omitempty" minimum:"0" maximum:"4"`
	}
}

type inputOutput struct{ Body mixer.InputState }

func seconds(s float64) time.Duration {
	return time.Duration(min(s, maxStart) * float64(time.Second))
}

// host says no to who is none.
func host(ctx context.Context, room string) error {
	if !bearer(ctx).Host(room) {
		return forbidden("only a host of room %q may do this", room)
	}
	return nil
}

func (a *API) inputRoutes() {
	const all, one = "/rooms/{room}/inputs", "/rooms/{room}/inputs/{input}"
	play := operation(http.MethodPost, all, "play-in", "Play a file, a stream or a picture into a room, as a participant with a tile and its sound (a host)", guarded,
		http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	play.DefaultStatus = http.StatusCreated
	play.Description = "Answers when it is open, or with what is wrong. It leaves the room at its end, and is told of for ten minutes more. " +
		"What is live is looked for again when it dies (state reconnecting), for as long as the server's inputs.give_up says."
	huma.Register(a.rest, play, func(ctx context.Context, in *playInput) (*inputOutput, error) {
		return a.play(ctx, in.Room, a.cfg.Inputs.PlayIn, mixer.InputRequest{
			URL: in.Body.URL, File: in.Body.File, Name: cleanName(in.Body.Name), Loop: in.Body.Loop,
			Start: seconds(in.Body.Start), Volume: in.Body.Volume,
		})
	})
	announce := operation(http.MethodPost, "/rooms/{room}/announcements", "announce", "Play a file's sound, or words, over everybody in a room (a host)", guarded,
		http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	announce.DefaultStatus = http.StatusCreated
	announce.Description = "It has no tile, and others are turned down by 9 dB while it lasts. Among the inputs it is of kind announcement."
	huma.Register(a.rest, announce, func(ctx context.Context, in *announceInput) (*inputOutput, error) {
		return a.play(ctx, in.Room, a.cfg.Inputs.Announce, mixer.InputRequest{
			File: in.Body.File, Text: in.Body.Text, Voice: in.Body.Voice, Name: "Announcement", Volume: in.Body.Volume,
		})
	})
	huma.Register(a.rest, operation(http.MethodGet, all, "list-inputs", "List what is played into a room, and what ended lately", guarded, http.StatusNotFound),
		func(ctx context.Context, in *roomPath) (*struct{ Body []mixer.InputState }, error) {
			if err := a.exists(in.Room); err != nil {
				return nil, a.problem(err)
			}
			return &struct{ Body []mixer.InputState }{a.cfg.Inputs.Inputs(in.Room)}, nil
		})
	huma.Register(a.rest, operation(http.MethodGet, one, "get-input", "Show one input", guarded, http.StatusNotFound),
		func(ctx context.Context, in *InputPath) (*inputOutput, error) {
			return a.input(a.cfg.Inputs.Input(in.Room, in.Input))
		})
	huma.Register(a.rest, operation(http.MethodPatch, one, "change-input", "Pause, resume, seek, repeat, or set the volume (a host)", guarded,
		http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity),
		func(ctx context.Context, in *changeInput) (*inputOutput, error) {
			if err := host(ctx, in.Room); err != nil {
				return nil, err
			}
			c := mixer.InputChange{Paused: in.Body.Paused, Loop: in.Body.Loop, Volume: in.Body.Volume}
			if in.Body.Position != nil {
				to := seconds(*in.Body.Position)
				c.Position = &to
			}
			return a.input(a.cfg.Inputs.ChangeInput(in.Room, in.Input, c))
		})
	huma.Register(a.rest, operation(http.MethodDelete, one, "remove-input", "End an input (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *InputPath) (*struct{}, error) {
			if err := host(ctx, in.Room); err != nil {
				return nil, err
			}
			if err := a.cfg.Inputs.RemoveInput(in.Room, in.Input); err != nil {
				return nil, a.problem(err)
			}
			return nil, nil
		})
}

func (a *API) play(ctx context.Context, room string, start func(context.Context, string, mixer.InputRequest) (mixer.InputState, error), q mixer.InputRequest) (*inputOutput, error) {
	if err := host(ctx, room); err != nil {
		return nil, err
	}
	if err := a.admissible(); err != nil {
		return nil, err
	}
	if err := a.ensure(room); err != nil {
		return nil, a.problem(err)
	}
	return a.input(start(ctx, room, q))
}

func (a *API) input(st mixer.InputState, err error) (*inputOutput, error) {
	if err != nil {
		return nil, a.problem(err)
	}
	return &inputOutput{st}, nil
}
