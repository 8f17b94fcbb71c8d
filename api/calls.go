package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"mixdown/mixer"
)

// Caller places telephone calls. Errors wrap mixer.ErrNotAllowed,
// mixer.ErrBadAddress, mixer.ErrBusy and mixer.ErrNoCall.
type Caller interface {
	// Dial places a call and returns at once.
	Dial(ctx context.Context, room string, order mixer.CallOrder) (mixer.Call, error)
	// Calls lists a room's calls, oldest first; those placed from it for a moment
	// after they have ended, too.
	Calls(room string) []mixer.Call
	// Hangup ends one.
	Hangup(room, id string) error
}

// DialIn is how telephones call a room.
type DialIn struct {
	Address string   `json:"address,omitempty" doc:"to call the room by its name" example:"sip:demo@meet.example.org"`
	Lobby   []string `json:"lobby" nullable:"false" doc:"numbers at which a voice asks for the room's PIN"`
}

// phones is the telephone side, if there is one.
type phones struct {
	caller Caller
	dialIn func(room string) DialIn
	dials  bool // configuration lets somebody be called
}

// SetCaller gives the API a telephone side. It must be called before the first
// request.
func (a *API) SetCaller(c Caller, dialIn func(room string) DialIn, dials bool) {
	a.phones = phones{c, dialIn, dials}
}

type callInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body struct {
		To   string `json:"to" minLength:"1" maxLength:"256" doc:"an address or a number; configuration says which may be called" example:"sip:room-system@pbx.example.org"`
		From string `json:"from,omitempty" maxLength:"64" doc:"as the callee shall see it; absent: the room's name"`
		Name string `json:"name,omitempty" maxLength:"512" doc:"on the tile; absent: what was called"`
	}
}

type callPath struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Call string `path:"call" maxLength:"64"`
}

type callOutput struct{ Body mixer.Call }

func (a *API) callRoutes() {
	place := operation(http.MethodPost, "/rooms/{room}/calls", "place-call", "Call a telephone from a room (a host)", guarded,
		http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusServiceUnavailable)
	place.DefaultStatus = http.StatusCreated
	place.Description = "Answers at once with the call's id. How it goes on is in the room's state (state.calls), on the control channel and in GET: dialing, ringing, connected, held, ended with a status of RFC 3261 and a reason."
	huma.Register(a.rest, place, func(ctx context.Context, in *callInput) (*callOutput, error) {
		if err := a.mayCall(ctx, in.Room); err != nil {
			return nil, err
		}
		if err := a.admissible(); err != nil {
			return nil, err
		}
		if err := a.ensure(in.Room); err != nil {
			return nil, a.problem(err)
		}
		c, err := a.phones.caller.Dial(ctx, in.Room, mixer.CallOrder{To: in.Body.To, From: in.Body.From, Name: in.Body.Name})
		if err != nil {
			return nil, a.problem(fmt.Errorf("room %q: %w", in.Room, err))
		}
		return &callOutput{c}, nil
	})

	huma.Register(a.rest, operation(http.MethodGet, "/rooms/{room}/calls", "list-calls", "List a room's telephone calls (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *roomPath) (*struct{ Body []mixer.Call }, error) {
			if err := a.mayCall(ctx, in.Room); err != nil {
				return nil, err
			}
			return &struct{ Body []mixer.Call }{append([]mixer.Call{}, a.phones.caller.Calls(in.Room)...)}, nil
		})

	huma.Register(a.rest, operation(http.MethodGet, "/rooms/{room}/calls/{call}", "get-call", "Show one telephone call (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *callPath) (*callOutput, error) {
			if err := a.mayCall(ctx, in.Room); err != nil {
				return nil, err
			}
			calls := a.phones.caller.Calls(in.Room)
			i := slices.IndexFunc(calls, func(c mixer.Call) bool { return c.ID == in.Call })
			if i < 0 {
				return nil, a.problem(fmt.Errorf("room %q: call %.40q: %w", in.Room, in.Call, mixer.ErrNoCall))
			}
			return &callOutput{calls[i]}, nil
		})

	huma.Register(a.rest, operation(http.MethodDelete, "/rooms/{room}/calls/{call}", "hang-up", "Hang up a telephone call (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *callPath) (*struct{}, error) {
			if err := a.mayCall(ctx, in.Room); err != nil {
				return nil, err
			}
			if err := a.phones.caller.Hangup(in.Room, in.Call); err != nil {
				return nil, a.problem(err)
			}
			return nil, nil
		})
}

// mayCall lets hosts of a room use the telephone, where there is one.
func (a *API) mayCall(ctx context.Context, room string) error {
	if !bearer(ctx).Host(room) {
		return forbidden("only a host of room %q may see and place its calls", room)
	}
	if a.phones.caller == nil {
		return newProblem(http.StatusNotFound, "this server has no telephone side; configure sip")
	}
	return nil
}
