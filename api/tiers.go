package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

type bitrateInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Tier string `path:"tier" maxLength:"64" doc:"a name of the ladder" example:"360p"`
	Body struct {
		Bitrate int `json:"bitrate" minimum:"0" doc:"bit/s of the tier's encoders, from their next picture on; 0 is the ladder's own"`
	}
}

type soundInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body struct {
		Level   *bool `json:"level,omitempty" doc:"bring talkers to a common loudness"`
		Denoise *bool `json:"denoise,omitempty" doc:"take noise out of every sender's sound"`
	}
}

type layoutInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body struct {
		Layout string `json:"layout" enum:"gallery,speaker,screen" doc:"speaker: who speaks is large; screen: the newest screen is, and without one it is the gallery"`
	}
}

type lockInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body struct {
		Locked bool `json:"locked"`
	}
}

func (a *API) tierRoutes() {
	huma.Register(a.rest, operation(http.MethodPut, "/rooms/{room}/layout", "put-layout", "Choose how the pictures that people see are arranged (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *layoutInput) (*struct{}, error) {
			return nil, a.rule(bearer(ctx), in.Room, func() error { return a.cfg.Rooms.SetLayout(in.Room, in.Body.Layout) })
		})
	lock := operation(http.MethodPut, "/rooms/{room}/lock", "put-lock", "Keep newcomers out of a room, or let them in again (a host)", guarded, http.StatusNotFound)
	lock.Description = "Newcomers get 423. Who is in the room when it is locked may leave and come back; hosts, and whom they call or play in, come in always."
	huma.Register(a.rest, lock,
		func(ctx context.Context, in *lockInput) (*struct{}, error) {
			return nil, a.rule(bearer(ctx), in.Room, func() error { return a.cfg.Rooms.SetLocked(in.Room, in.Body.Locked) })
		})
	huma.Register(a.rest, operation(http.MethodPut, "/rooms/{room}/sound", "put-sound", "Switch levelling and noise suppression while the room runs (a host)", guarded, http.StatusBadRequest, http.StatusNotFound),
		func(ctx context.Context, in *soundInput) (*struct{}, error) {
			return nil, a.rule(bearer(ctx), in.Room, func() error { return a.cfg.Rooms.SetSound(in.Room, in.Body.Level, in.Body.Denoise) })
		})
	huma.Register(a.rest, operation(http.MethodPut, "/rooms/{room}/tiers/{tier}", "put-bitrate", "Change a tier's bit rate while it runs (a host)", guarded, http.StatusBadRequest, http.StatusNotFound),
		func(ctx context.Context, in *bitrateInput) (*struct{}, error) {
			return nil, a.rule(bearer(ctx), in.Room, func() error { return a.cfg.Rooms.SetBitrate(in.Room, in.Tier, in.Body.Bitrate) })
		})
}

// rule does what a host decides about a room.
func (a *API) rule(b Bearer, room string, do func() error) error {
	if !b.Host(room) {
		return forbidden("only a host of room %q may do this", room)
	}
	if err := do(); err != nil {
		return a.problem(err)
	}
	return nil
}
