package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"mixdown/mixer"
)

// LegPath names a leg.
type LegPath struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Leg  string `path:"leg" maxLength:"64" doc:"its id"`
}

// LegMedia is one stream of an end that knows no SDP.
type LegMedia struct {
	Kind        string `json:"kind" enum:"audio,video"`
	Address     string `json:"address" maxLength:"64" doc:"IP:PORT that it receives RTP on; RTCP is on the port after it" example:"192.0.2.7:5004"`
	Codec       string `json:"codec" maxLength:"32" doc:"RTP encoding name" example:"opus"`
	PayloadType int    `json:"payload_type" minimum:"0" maximum:"127" doc:"96 to 127, or the codec's own by RFC 3551" example:"96"`
	Direction   string `json:"direction,omitempty" enum:"sendrecv,sendonly,recvonly" doc:"of the other end; absent is sendrecv"`
	Fmtp        string `json:"fmtp,omitempty" maxLength:"512" doc:"its format parameters, as in a=fmtp"`
	Key         string `json:"key,omitempty" maxLength:"128" doc:"with srtp: base64 of its SRTP key and salt"`
}

type createLegInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body struct {
		Identity string     `json:"identity" minLength:"1" maxLength:"128" doc:"a participant of that identity is taken over"`
		Name     string     `json:"name,omitempty" maxLength:"512" doc:"on its tile; absent: the identity"`
		Tier     string     `json:"tier,omitempty" maxLength:"64" doc:"of the ladder, at most that it is given"`
		Publish  *bool      `json:"publish,omitempty" doc:"it is seen and heard; absent: yes"`
		Receive  *bool      `json:"receive,omitempty" doc:"it is given the room's mix; absent: yes"`
		SDP      string     `json:"sdp,omitempty" maxLength:"32768" doc:"its offer; the answer is sdp in the answer to this"`
		Media    []LegMedia `json:"media,omitempty" maxItems:"2" doc:"or its addresses and codecs"`
		Offer    bool       `json:"offer,omitempty" doc:"or: this server offers, and PUT …/answer takes the answer"`
		SRTP     string     `json:"srtp,omitempty" enum:"AEAD_AES_128_GCM,AES_CM_128_HMAC_SHA1_80,AES_CM_128_HMAC_SHA1_32" doc:"for media: the suite of its keys; for offer: encryption is required"`
	}
}

type describeInput struct {
	LegPath
	Body struct {
		SDP string `json:"sdp" minLength:"1" maxLength:"32768"`
	}
}

type legOutput struct{ Body mixer.Leg }

func (a *API) legRoutes() {
	const all, one = "/rooms/{room}/legs", "/rooms/{room}/legs/{leg}"
	create := operation(http.MethodPost, all, "create-leg", "Bring an end into a room that speaks plain RTP (a host)", guarded,
		http.StatusBadRequest, http.StatusNotFound, http.StatusServiceUnavailable)
	create.DefaultStatus = http.StatusCreated
	create.Description = "One of sdp, media and offer says how. The operator's token lets media go anywhere, a host's where the server's rtp.allow says. docs/legs.md has examples."
	huma.Register(a.rest, create, func(ctx context.Context, in *createLegInput) (*legOutput, error) {
		return a.createLeg(ctx, in)
	})
	huma.Register(a.rest, operation(http.MethodGet, all, "list-legs", "List a room's legs of plain RTP, with figures (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *roomPath) (*struct{ Body []mixer.Leg }, error) {
			if err := host(ctx, in.Room); err != nil {
				return nil, err
			}
			if err := a.exists(in.Room); err != nil {
				return nil, a.problem(err)
			}
			return &struct{ Body []mixer.Leg }{a.cfg.Legs.ListLegs(in.Room)}, nil
		})
	huma.Register(a.rest, operation(http.MethodGet, one, "get-leg", "Show one leg, with figures (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *LegPath) (*legOutput, error) { return a.leg(ctx, *in) })
	huma.Register(a.rest, operation(http.MethodPut, one+"/answer", "put-leg-answer", "Answer the server's offer (a host)", guarded, http.StatusBadRequest, http.StatusNotFound),
		func(ctx context.Context, in *describeInput) (*legOutput, error) {
			return a.changeLeg(ctx, in, a.cfg.Legs.AcceptLeg)
		})
	huma.Register(a.rest, operation(http.MethodPatch, one, "patch-leg", "Offer anew: other codecs, another address, hold (a host)", guarded, http.StatusBadRequest, http.StatusNotFound),
		func(ctx context.Context, in *describeInput) (*legOutput, error) {
			return a.changeLeg(ctx, in, a.cfg.Legs.UpdateLeg)
		})
	huma.Register(a.rest, operation(http.MethodDelete, one, "delete-leg", "End a leg (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *LegPath) (*struct{}, error) {
			if _, err := a.leg(ctx, *in); err != nil {
				return nil, err
			}
			if err := a.cfg.Legs.HangupLeg(ctx, in.Leg); err != nil {
				return nil, a.problem(err)
			}
			return nil, nil
		})
}

func (a *API) createLeg(ctx context.Context, in *createLegInput) (*legOutput, error) {
	if err := host(ctx, in.Room); err != nil {
		return nil, err
	}
	b := in.Body
	who := mixer.Identity{ID: b.Identity, Name: cleanName(b.Name), Role: mixer.Participant, Invited: true}
	if who.Name == "" {
		who.Name = cleanName(who.ID)
	}
	if err := (Bearer{Identity: who, Room: in.Room}).validate(); err != nil {
		return nil, newProblem(http.StatusBadRequest, "%v", err)
	}
	yes := func(p *bool) bool { return p == nil || *p }
	r := mixer.LegRequest{
		Session: mixer.Session{Room: in.Room, Identity: who, Publish: yes(b.Publish), Receive: yes(b.Receive), Want: mixer.Want{Tier: b.Tier}},
		SDP:     b.SDP, Offer: b.Offer, SRTP: b.SRTP, Anywhere: bearer(ctx).Admin(),
	}
	for _, m := range b.Media {
		r.Media = append(r.Media, mixer.LegMedia{
			Kind: m.Kind, Address: m.Address, Codec: m.Codec, PayloadType: uint8(m.PayloadType), Direction: m.Direction, Fmtp: m.Fmtp, Key: m.Key,
		})
	}
	if !r.Publish && !r.Receive {
		return nil, newProblem(http.StatusBadRequest, "publish and receive: a leg does one or both")
	}
	if b.Tier != "" {
		if err := a.knownTier(b.Tier); err != nil {
			return nil, a.problem(err)
		}
	}
	if err := a.Ensure(in.Room); err != nil {
		return nil, a.problem(err)
	}
	if err := a.cfg.Rooms.Admit(in.Room, who); err != nil {
		return nil, a.problem(err)
	}
	l, err := a.cfg.Legs.CreateLeg(ctx, r)
	if err != nil {
		return nil, a.problem(err)
	}
	return &legOutput{l}, nil
}

// leg finds one of a room that the bearer is a host of.
func (a *API) leg(ctx context.Context, in LegPath) (*legOutput, error) {
	if err := host(ctx, in.Room); err != nil {
		return nil, err
	}
	l, ok := a.cfg.Legs.DescribeLeg(in.Leg)
	if !ok || l.Room != in.Room {
		return nil, a.problem(fmt.Errorf("room %q: leg %.80q: %w", in.Room, in.Leg, mixer.ErrNoSession))
	}
	return &legOutput{l}, nil
}

func (a *API) changeLeg(ctx context.Context, in *describeInput, change func(context.Context, string, string) (mixer.Leg, error)) (*legOutput, error) {
	if _, err := a.leg(ctx, in.LegPath); err != nil {
		return nil, err
	}
	l, err := change(ctx, in.Leg, in.Body.SDP)
	if err != nil {
		return nil, a.problem(err)
	}
	return &legOutput{l}, nil
}
