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

func (a *API) tierRoutes() {
	huma.Register(a.rest, operation(http.MethodPut, "/rooms/{room}/sound", "put-sound", "Switch levelling and noise suppression while the room runs (a host)", guarded, http.StatusBadRequest, http.StatusNotFound),
		func(ctx context.Context, in *soundInput) (*struct{}, error) {
			if !bearer(ctx).Host(in.Room) {
				return nil, forbidden("only a host of room %q may do this", in.Room)
			}
			if err := a.cfg.Rooms.SetSound(in.Room, in.Body.Level, in.Body.Denoise); err != nil {
				return nil, a.problem(err)
			}
			return nil, nil
		})
	huma.Register(a.rest, operation(http.MethodPut, "/rooms/{room}/tiers/{tier}", "put-bitrate", "Change a tier's bit rate while it runs (a host)", guarded, http.StatusBadRequest, http.StatusNotFound),
		func(ctx context.Context, in *bitrateInput) (*struct{}, error) {
			if !bearer(ctx).Host(in.Room) {
				return nil, forbidden("only a host of room %q may do this", in.Room)
			}
			if err := a.cfg.Rooms.SetBitrate(in.Room, in.Tier, in.Body.Bitrate); err != nil {
				return nil, a.problem(err)
			}
			return nil, nil
		})
}
