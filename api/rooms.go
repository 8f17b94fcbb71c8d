package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"mixdown/mixer"
)

// RoomView is a room as REST shows it. Keys and links are for its hosts.
type RoomView struct {
	Name         string   `json:"name"`
	Participants int      `json:"participants" doc:"how many are in it now"`
	Tiers        []string `json:"tiers" doc:"names of the ladder, best first"`
	JoinKey      string   `json:"join_key,omitempty" doc:"lets people in as participants; for hosts to see"`
	HostKey      string   `json:"host_key,omitempty" doc:"lets people in as hosts; for hosts to see"`
	Links        *Links   `json:"links,omitempty" doc:"for hosts to see"`
	PIN          string   `json:"pin,omitempty" doc:"lets telephones in; for hosts to see"`
	HostPIN      string   `json:"host_pin,omitempty" doc:"lets telephones in as hosts; for hosts to see"`
	DialIn       *DialIn  `json:"dial_in,omitempty" doc:"how telephones call the room, where the server takes calls"`
}

// Links are the addresses of a room's page. What stands behind # is not sent
// to any server.
type Links struct {
	Join string `json:"join"`
	Host string `json:"host"`
}

type roomPath struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
}

type roomOutput struct{ Body RoomView }

type createInput struct {
	Body struct {
		Name    string               `json:"name" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" patternDescription:"1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first" example:"demo"`
		JoinKey string               `json:"join_key,omitempty" minLength:"8" maxLength:"128" doc:"made if absent"`
		HostKey string               `json:"host_key,omitempty" minLength:"8" maxLength:"128" doc:"made if absent"`
		Record  *mixer.RecordingSpec `json:"record,omitempty" doc:"record the room by itself while somebody sends in it; {} is as configured"`
	}
}

func (a *API) roomRoutes() {
	huma.Register(a.rest, operation(http.MethodGet, "/rooms", "list-rooms", "List all rooms (operator's token)", guarded),
		func(ctx context.Context, _ *struct{}) (*struct{ Body []RoomView }, error) {
			if err := admin(ctx); err != nil {
				return nil, err
			}
			names := a.cfg.Rooms.Rooms()
			for _, k := range a.cfg.Registry.List() {
				names = append(names, k.Name)
			}
			slices.Sort(names)
			out := &struct{ Body []RoomView }{Body: []RoomView{}}
			for _, name := range slices.Compact(names) {
				out.Body = append(out.Body, a.view(ctx, name))
			}
			return out, nil
		})

	create := operation(http.MethodPost, "/rooms", "create-room", "Make a room with a join key and a host key (operator's token)", guarded, http.StatusConflict)
	create.DefaultStatus = http.StatusCreated
	huma.Register(a.rest, create, func(ctx context.Context, in *createInput) (*roomOutput, error) {
		if err := admin(ctx); err != nil {
			return nil, err
		}
		if in.Body.JoinKey != "" && in.Body.JoinKey == in.Body.HostKey {
			return nil, newProblem(http.StatusUnprocessableEntity, "join_key and host_key are the same: everybody would be a host; give two keys")
		}
		if in.Body.Record != nil && a.cfg.Recorder != nil {
			if err := a.cfg.Recorder.Check(in.Body.Name, *in.Body.Record); err != nil {
				return nil, a.problem(fmt.Errorf("record: %w", err))
			}
		}
		if _, err := a.cfg.Registry.Create(in.Body.Name, in.Body.JoinKey, in.Body.HostKey, a.cfg.Now()); err != nil {
			return nil, a.problem(err)
		}
		var err error
		if in.Body.Record != nil {
			err = a.cfg.Registry.SetRecord(in.Body.Name, in.Body.Record)
		}
		if err == nil {
			err = a.ensure(in.Body.Name)
		}
		if err != nil {
			_, undo := a.cfg.Registry.Delete(in.Body.Name)
			return nil, a.problem(errors.Join(err, undo))
		}
		return &roomOutput{a.view(ctx, in.Body.Name)}, nil
	})

	huma.Register(a.rest, operation(http.MethodGet, "/rooms/{room}", "get-room", "Show a room", guarded, http.StatusNotFound),
		func(ctx context.Context, in *roomPath) (*roomOutput, error) {
			if err := a.exists(in.Room); err != nil {
				return nil, a.problem(err)
			}
			return &roomOutput{a.view(ctx, in.Room)}, nil
		})

	huma.Register(a.rest, operation(http.MethodDelete, "/rooms/{room}", "delete-room", "Close a room, its sessions and its links (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *roomPath) (*struct{}, error) {
			if !bearer(ctx).Host(in.Room) {
				return nil, forbidden("only a host of room %q may close it", in.Room)
			}
			known, err := a.cfg.Registry.Delete(in.Room)
			if err != nil {
				return nil, a.problem(err)
			}
			if err := a.cfg.Rooms.DeleteRoom(in.Room); err != nil && !(known && errors.Is(err, mixer.ErrNoRoom)) {
				return nil, a.problem(err)
			}
			return nil, nil
		})

	huma.Register(a.rest, operation(http.MethodGet, "/rooms/{room}/state", "get-state", "Who is in a room and what is where, as the control channel sends it", guarded, http.StatusNotFound),
		func(ctx context.Context, in *roomPath) (*struct{ Body mixer.State }, error) {
			s, err := a.state(in.Room)
			if err != nil {
				return nil, a.problem(err)
			}
			return &struct{ Body mixer.State }{s}, nil
		})

	huma.Register(a.rest, operation(http.MethodPost, "/rooms/{room}/join", "join-room", "Take a place in a room with its join key or host key",
		nil, http.StatusForbidden, http.StatusNotFound, http.StatusLocked, http.StatusTooManyRequests, http.StatusServiceUnavailable), a.join)
}

func admin(ctx context.Context) error {
	if b := bearer(ctx); !b.Admin() {
		return forbidden("this needs an operator's token: room %q, role host; mint it with `mixdown token --room '*' --role host`", AnyRoom)
	}
	return nil
}

// exists makes sure of a room without making one that was never asked for.
func (a *API) exists(room string) error {
	if _, known := a.cfg.Registry.Get(room); known || slices.Contains(a.cfg.Rooms.Rooms(), room) {
		return nil
	}
	return newProblem(http.StatusNotFound, "there is no room %.80q", room)
}

// state is the state of a room; one that is known but not live is empty.
func (a *API) state(room string) (mixer.State, error) {
	if err := a.exists(room); err != nil {
		return mixer.State{}, err
	}
	s, err := a.cfg.Rooms.State(room)
	if errors.Is(err, mixer.ErrNoRoom) {
		return mixer.State{Room: room, Participants: []mixer.Member{}, Layouts: []mixer.CanvasState{}, Layout: mixer.Layouts()[0]}, nil
	}
	return s, err
}

func (a *API) view(ctx context.Context, room string) RoomView {
	v := RoomView{Name: room, Tiers: a.cfg.Rooms.Tiers()}
	if s, err := a.cfg.Rooms.State(room); err == nil {
		v.Participants = len(s.Participants)
	}
	if a.phones.dialIn != nil {
		d := a.phones.dialIn(room)
		v.DialIn = &d
	}
	keys, known := a.cfg.Registry.Get(room)
	if known && bearer(ctx).Host(room) {
		base, _ := ctx.Value(baseKey).(string)
		v.JoinKey, v.HostKey = keys.JoinKey, keys.HostKey
		v.PIN, v.HostPIN = keys.PIN, keys.HostPIN
		v.Links = &Links{Join: Link(base, room, keys.JoinKey), Host: Link(base, room, keys.HostKey)}
	}
	return v
}

// Link is the address of a room's page; base is scheme and host.
func Link(base, room, key string) string { return base + "/r/" + room + "#" + key }
