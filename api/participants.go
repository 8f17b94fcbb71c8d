package api

import (
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"mixdown/mixer"
)

// ParticipantPath names a participant; huma wants it exported to see into it.
type ParticipantPath struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	ID   string `path:"id" maxLength:"128" doc:"the participant's identity"`
}

type muteInput struct {
	ParticipantPath
	Body struct {
		AudioMuted *bool `json:"audio_muted,omitempty" doc:"absent leaves as is"`
		VideoMuted *bool `json:"video_muted,omitempty" doc:"absent leaves as is"`
	}
}

type tierInput struct {
	ParticipantPath
	Body struct {
		Tier string `json:"tier" minLength:"1" maxLength:"64" doc:"a name of the ladder, or sound for no pictures" example:"360p"`
	}
}

type handInput struct {
	ParticipantPath
	Body struct {
		Raised bool `json:"raised"`
	}
}

type memberOutput struct{ Body mixer.Member }

func (a *API) participantRoutes() {
	const one = "/rooms/{room}/participants/{id}"

	huma.Register(a.rest, operation(http.MethodGet, "/rooms/{room}/participants", "list-participants", "List who is in a room", guarded, http.StatusNotFound),
		func(ctx context.Context, in *roomPath) (*struct{ Body []mixer.Member }, error) {
			s, err := a.state(in.Room)
			if err != nil {
				return nil, a.problem(err)
			}
			return &struct{ Body []mixer.Member }{append([]mixer.Member{}, s.Participants...)}, nil
		})

	huma.Register(a.rest, operation(http.MethodGet, one, "get-participant", "Show one participant", guarded, http.StatusNotFound),
		func(ctx context.Context, in *ParticipantPath) (*memberOutput, error) {
			return a.member(in.Room, in.ID)
		})

	huma.Register(a.rest, operation(http.MethodPatch, one, "mute-participant", "Mute or unmute a participant's sound and picture (a host, or oneself)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *muteInput) (*memberOutput, error) {
			if err := a.mayTouch(bearer(ctx), in.Room, in.ID); err != nil {
				return nil, err
			}
			if err := a.cfg.Rooms.Mute(in.Room, in.ID, in.Body.AudioMuted, in.Body.VideoMuted); err != nil {
				return nil, a.problem(err)
			}
			return a.member(in.Room, in.ID)
		})

	huma.Register(a.rest, operation(http.MethodDelete, one, "remove-participant", "Take a participant out of the room (a host, or oneself)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *ParticipantPath) (*struct{}, error) {
			b := bearer(ctx)
			if err := a.mayTouch(b, in.Room, in.ID); err != nil {
				return nil, err
			}
			if err := a.cfg.Rooms.Remove(in.Room, in.ID); err != nil {
				return nil, a.problem(err)
			}
			if b.ID != in.ID {
				a.removed.add(in.Room, in.ID, a.cfg.Now())
				a.hub.end(in.Room, in.ID, mixer.ErrRemoved)
			}
			return nil, nil
		})

	huma.Register(a.rest, operation(http.MethodPut, one+"/hand", "put-hand", "Raise a participant's hand or lower it (a host, or oneself)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *handInput) (*memberOutput, error) {
			if err := a.mayTouch(bearer(ctx), in.Room, in.ID); err != nil {
				return nil, err
			}
			if err := a.cfg.Rooms.SetHand(in.Room, in.ID, in.Body.Raised); err != nil {
				return nil, a.problem(err)
			}
			return a.member(in.Room, in.ID)
		})

	tier := func(ctx context.Context, in *tierInput) (*memberOutput, error) {
		if err := a.mayTouch(bearer(ctx), in.Room, in.ID); err != nil {
			return nil, err
		}
		if err := a.setTier(in.Room, in.ID, in.Body.Tier); err != nil {
			return nil, a.problem(err)
		}
		return a.member(in.Room, in.ID)
	}
	huma.Register(a.rest, operation(http.MethodPut, one+"/tier", "put-tier", "Move a participant to a tier (a host, or oneself)", guarded, http.StatusBadRequest, http.StatusNotFound), tier)
	huma.Register(a.rest, operation(http.MethodPatch, one+"/tier", "patch-tier", "Move a participant to a tier (a host, or oneself)", guarded, http.StatusBadRequest, http.StatusNotFound), tier)
}

// mayTouch lets hosts change everybody and everybody change themselves.
func (a *API) mayTouch(b Bearer, room, id string) error {
	if b.ID == id || b.Host(room) {
		return nil
	}
	return forbidden("only a host of room %q, or %.80q itself, may do this", room, id)
}

func (a *API) member(room, id string) (*memberOutput, error) {
	s, err := a.state(room)
	if err != nil {
		return nil, a.problem(err)
	}
	i := slices.IndexFunc(s.Participants, func(m mixer.Member) bool { return m.ID == id })
	if i < 0 {
		return nil, a.problem(fmt.Errorf("room %q: %w: %.80q", room, mixer.ErrNoParticipant, id))
	}
	return &memberOutput{s.Participants[i]}, nil
}

func (a *API) setTier(room, id, tier string) error {
	if err := a.knownTier(tier); err != nil {
		return err
	}
	return a.cfg.Rooms.SetTier(room, id, tier)
}

func (a *API) knownTier(tier string) error {
	if names := append(a.cfg.Rooms.Tiers(), mixer.SoundOnly); !slices.Contains(names, tier) {
		return newProblem(http.StatusBadRequest, "tier %.40q: is none of %q", tier, names)
	}
	return nil
}

var opSnapshot = &huma.Operation{
	Method:      http.MethodGet,
	Path:        prefix + "/rooms/{room}/snapshot.png",
	OperationID: "get-snapshot",
	Summary:     "The room's gallery as it is now",
	Tags:        []string{"rooms"},
	Security:    guarded,
	Parameters:  []*huma.Param{queryParameter("token", "for where headers cannot be set")},
	Responses: map[string]*huma.Response{
		"200":     {Description: "the picture", Content: map[string]*huma.MediaType{"image/png": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}},
		"default": problemResponse,
	},
}

func (a *API) snapshot(c *gin.Context) {
	room := c.Param("room")
	b, err := a.authorize(c.GetHeader("Authorization"), c.Query("token"), room)
	if err == nil {
		err = a.exists(room)
	}
	if err == nil && !b.Host(room) { // what a room shows is locked, too
		err = a.cfg.Rooms.LockedOut(room, b.Identity)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	select {
	case a.snaps <- struct{}{}:
		defer func() { <-a.snaps }()
	case <-c.Request.Context().Done():
		a.fail(c, c.Request.Context().Err())
		return
	}
	picture, err := a.cfg.Rooms.Snapshot(c.Request.Context(), room)
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Content-Type", "image/png")
	c.Header("Cache-Control", "no-store")
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(c.Writer, rgba(picture)); err != nil {
		a.log.Debug("snapshot not delivered", "room", room, "error", err)
	}
}

// rgba converts a picture: png takes other kinds pixel by pixel.
func rgba(m image.Image) image.Image {
	if _, ok := m.(*image.RGBA); ok {
		return m
	}
	out := image.NewRGBA(m.Bounds())
	draw.Draw(out, out.Bounds(), m, m.Bounds().Min, draw.Src)
	return out
}
