package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mixdown/mixer"
)

// fakeCaller is a telephone side whose callees say by their address what becomes
// of a call.
type fakeCaller struct {
	calls  []mixer.Call
	orders []mixer.CallOrder
}

func (f *fakeCaller) Dial(_ context.Context, room string, o mixer.CallOrder) (mixer.Call, error) {
	for to, err := range map[string]error{
		"sip:expensive@pbx": mixer.ErrNotAllowed, "nonsense": mixer.ErrBadAddress, "sip:one-more@pbx": mixer.ErrBusy,
	} {
		if o.To == to {
			return mixer.Call{}, fmt.Errorf("call %q: %w", to, err)
		}
	}
	f.orders = append(f.orders, o)
	c := mixer.Call{ID: fmt.Sprintf("c%d", len(f.orders)), Room: room, Outgoing: true, State: mixer.CallDialing, Peer: o.To, Name: o.Name}
	f.calls = append(f.calls, c)
	return c, nil
}

func (f *fakeCaller) Calls(room string) (out []mixer.Call) {
	for _, c := range f.calls {
		if c.Room == room {
			out = append(out, c)
		}
	}
	return out
}

func (f *fakeCaller) Hangup(room, id string) error {
	i := slices.IndexFunc(f.calls, func(c mixer.Call) bool { return c.Room == room && c.ID == id })
	if i < 0 {
		return fmt.Errorf("call %q: %w", id, mixer.ErrNoCall)
	}
	f.calls = slices.Delete(f.calls, i, i+1)
	return nil
}

func TestCalls(t *testing.T) {
	b := newBench(t)
	b.room()
	const path = "/api/v1/rooms/demo/calls"
	host, guest := b.token("ada", mixer.Host, "demo"), b.token("bob", mixer.Participant, "demo")
	b.want(b.do("GET", path, host, nil), http.StatusNotFound) // without a telephone side

	b = newBench(t)
	b.room()
	f := new(fakeCaller)
	b.api.SetCaller(f, func(room string) DialIn { return DialIn{Address: "sip:" + room + "@meet.example"} }, true)
	order := map[string]any{"to": "sip:room@pbx", "name": "Room 7", "from": "The board"}
	for token, status := range map[string]int{
		"": http.StatusUnauthorized, guest: http.StatusForbidden, b.token("eve", mixer.Viewer, "demo"): http.StatusForbidden,
		b.token("ada", mixer.Host, "other"): http.StatusForbidden,
	} {
		for _, r := range []struct {
			method, path string
			body         any
		}{{"POST", path, order}, {"GET", path, nil}, {"GET", path + "/c1", nil}, {"DELETE", path + "/c1", nil}} {
			b.want(b.do(r.method, r.path, token, r.body), status)
		}
	}
	for body, status := range map[string]int{
		`{`: http.StatusBadRequest, `{}`: http.StatusUnprocessableEntity, `{"to":""}`: http.StatusUnprocessableEntity,
		`{"to":7}`: http.StatusUnprocessableEntity, `{"to":"sip:a@pbx","cost":1}`: http.StatusUnprocessableEntity,
		`{"to":"` + strings.Repeat("1", 257) + `"}`:                http.StatusUnprocessableEntity,
		`{"to":"1","name":"` + strings.Repeat("n", 513) + `"}`:     http.StatusUnprocessableEntity,
		`{"to":"1","from":"` + strings.Repeat("n", 65) + `"}`:      http.StatusUnprocessableEntity,
		`{"to":"sip:expensive@pbx"}`:                               http.StatusForbidden,
		`{"to":"nonsense"}`:                                        http.StatusUnprocessableEntity,
		`{"to":"sip:one-more@pbx"}`:                                http.StatusServiceUnavailable,
		`{"to":"1","name":"` + strings.Repeat("n", maxBody) + `"}`: http.StatusRequestEntityTooLarge,
	} {
		b.want(b.do("POST", path, host, body, "Content-Type", "application/json"), status)
	}
	if len(f.orders) != 0 {
		t.Fatalf("called %+v", f.orders)
	}
	b.want(b.do("POST", "/api/v1/rooms/none/calls", b.token("op", mixer.Host, AnyRoom), order), http.StatusNotFound)

	c := decode[mixer.Call](b, b.want(b.do("POST", path, host, order), http.StatusCreated))
	if c.ID != "c1" || c.State != mixer.CallDialing || !slices.Equal(f.orders, []mixer.CallOrder{{To: "sip:room@pbx", From: "The board", Name: "Room 7"}}) {
		t.Errorf("call %+v of %+v", c, f.orders)
	}
	if all := decode[[]mixer.Call](b, b.want(b.do("GET", path, host, nil), http.StatusOK)); len(all) != 1 || all[0] != c {
		t.Errorf("calls %+v", all)
	}
	if one := decode[mixer.Call](b, b.want(b.do("GET", path+"/c1", host, nil), http.StatusOK)); one != c {
		t.Errorf("call %+v", one)
	}
	b.want(b.do("GET", path+"/c2", host, nil), http.StatusNotFound)
	b.want(b.do("DELETE", path+"/c2", host, nil), http.StatusNotFound)
	b.want(b.do("DELETE", path+"/c1", host, nil), http.StatusNoContent)
	if w := b.want(b.do("GET", path, host, nil), http.StatusOK); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("calls %s", w.Body)
	}
	b.want(b.do("DELETE", path+"/c1", host, nil), http.StatusNotFound)
	b.api.SetReady(false)
	b.want(b.do("POST", path, host, order), http.StatusServiceUnavailable)
}

// fakeLegs fails with next, once.
type fakeLegs struct {
	legs     map[string]mixer.Leg
	requests []mixer.LegRequest
	next     error
}

func (f *fakeLegs) change(id, sdp string) (mixer.Leg, error) {
	if err := f.next; err != nil {
		f.next = nil
		return mixer.Leg{}, err
	}
	l := f.legs[id]
	l.SDP = "answer to " + sdp
	f.legs[id] = l
	return l, nil
}

func (f *fakeLegs) CreateLeg(_ context.Context, r mixer.LegRequest) (mixer.Leg, error) {
	id := fmt.Sprintf("l%d", len(f.requests)+1)
	f.legs[id] = mixer.Leg{ID: id, Room: r.Room, Participant: r.Identity.ID, Name: r.Identity.Name, State: "waiting"}
	l, err := f.change(id, r.SDP)
	if err != nil {
		delete(f.legs, id)
		return l, err
	}
	f.requests = append(f.requests, r)
	return l, nil
}

func (f *fakeLegs) AcceptLeg(_ context.Context, id, sdp string) (mixer.Leg, error) {
	return f.change(id, sdp)
}
func (f *fakeLegs) UpdateLeg(_ context.Context, id, sdp string) (mixer.Leg, error) {
	return f.change(id, sdp)
}

func (f *fakeLegs) ListLegs(room string) []mixer.Leg {
	out := []mixer.Leg{}
	for _, l := range f.legs {
		if l.Room == room {
			out = append(out, l)
		}
	}
	return out
}

func (f *fakeLegs) DescribeLeg(id string) (mixer.Leg, bool) {
	l, ok := f.legs[id]
	return l, ok
}

func (f *fakeLegs) HangupLeg(_ context.Context, id string) error {
	delete(f.legs, id)
	return nil
}

func TestLegs(t *testing.T) {
	f := &fakeLegs{legs: map[string]mixer.Leg{}}
	b := newBench(t, func(c *Config) { c.Legs = f })
	b.room()
	const path = "/api/v1/rooms/demo/legs"
	host, admin := b.token("ada", mixer.Host, "demo"), b.token("op", mixer.Host, AnyRoom)
	order := map[string]any{"identity": "gateway", "sdp": "v=0"}
	for token, status := range map[string]int{
		"": http.StatusUnauthorized, b.token("bob", mixer.Participant, "demo"): http.StatusForbidden, b.token("ada", mixer.Host, "other"): http.StatusForbidden,
	} {
		for _, r := range []struct {
			method, path string
			body         any
		}{
			{"POST", path, order}, {"GET", path, nil}, {"GET", path + "/l1", nil}, {"DELETE", path + "/l1", nil},
			{"PUT", path + "/l1/answer", map[string]any{"sdp": "v=0"}}, {"PATCH", path + "/l1", map[string]any{"sdp": "v=0"}},
		} {
			b.want(b.do(r.method, r.path, token, r.body), status)
		}
	}
	for body, status := range map[string]int{
		`{`: http.StatusBadRequest, `{"sdp":"v=0"}`: http.StatusUnprocessableEntity, `{"identity":""}`: http.StatusUnprocessableEntity,
		`{"identity":"` + strings.Repeat("i", 129) + `","sdp":"v=0"}`:                                              http.StatusUnprocessableEntity,
		`{"identity":"g","sdp":"` + strings.Repeat("v", 32769) + `"}`:                                              http.StatusUnprocessableEntity,
		`{"identity":"g","media":[{"kind":"text","address":"192.0.2.1:5004","codec":"opus","payload_type":96}]}`:   http.StatusUnprocessableEntity,
		`{"identity":"g","media":[{"kind":"audio","address":"192.0.2.1:5004","codec":"opus","payload_type":128}]}`: http.StatusUnprocessableEntity,
		`{"identity":"g","offer":true,"srtp":"NULL"}`:                                                              http.StatusUnprocessableEntity,
		`{"identity":"g","sdp":"v=0","publish":false,"receive":false}`:                                             http.StatusBadRequest,
		`{"identity":"g","sdp":"v=0","tier":"9000p"}`:                                                              http.StatusBadRequest,
		`{"identity":"one too many","sdp":"v=0"}`:                                                                  http.StatusServiceUnavailable,
		`{"identity":"too much work","sdp":"v=0"}`:                                                                 http.StatusServiceUnavailable,
	} {
		b.want(b.do("POST", path, host, body, "Content-Type", "application/json"), status)
	}
	for err, status := range map[error]int{
		mixer.ErrBadOffer: http.StatusBadRequest, mixer.ErrNoCodec: http.StatusBadRequest, mixer.ErrNotAllowed: http.StatusForbidden,
		mixer.ErrNoPorts: http.StatusServiceUnavailable, mixer.ErrState: http.StatusConflict,
	} {
		f.next = fmt.Errorf("leg: %w", err)
		b.want(b.do("POST", path, host, order), status)
	}
	b.want(b.do("POST", "/api/v1/rooms/none/legs", admin, order), http.StatusNotFound)
	b.want(b.do("GET", "/api/v1/rooms/none/legs", admin, nil), http.StatusNotFound)
	if len(f.requests) != 0 {
		t.Fatalf("made %+v", f.requests)
	}

	l := decode[mixer.Leg](b, b.want(b.do("POST", path, host, order), http.StatusCreated))
	r := f.requests[0]
	if l.ID != "l1" || l.Name != "gateway" || !r.Publish || !r.Receive || r.Anywhere || r.Identity.Role != mixer.Participant {
		t.Errorf("leg %+v of %+v", l, r)
	}
	b.want(b.do("POST", path, admin, map[string]any{"identity": "wall", "name": "Wall", "publish": false, "tier": "360p", "srtp": "AEAD_AES_128_GCM",
		"media": []any{map[string]any{"kind": "video", "address": "192.0.2.1:5004", "codec": "VP8", "payload_type": 96}}}), http.StatusCreated)
	r = f.requests[1]
	if r.Publish || !r.Anywhere || r.Want.Tier != "360p" || r.SRTP != "AEAD_AES_128_GCM" || len(r.Media) != 1 || r.Media[0].PayloadType != 96 || r.Identity.Name != "Wall" {
		t.Errorf("asked for %+v", r)
	}
	if all := decode[[]mixer.Leg](b, b.want(b.do("GET", path, host, nil), http.StatusOK)); len(all) != 2 {
		t.Errorf("legs %+v", all)
	}

	sdp := map[string]any{"sdp": "v=1"}
	for _, r := range []struct{ method, path string }{{"PATCH", path + "/l1"}, {"PUT", path + "/l1/answer"}} {
		if l := decode[mixer.Leg](b, b.want(b.do(r.method, r.path, host, sdp), http.StatusOK)); l.SDP != "answer to v=1" {
			t.Errorf("%s: %+v", r.method, l)
		}
		f.next = mixer.ErrBadOffer
		b.want(b.do(r.method, r.path, host, sdp), http.StatusBadRequest)
		f.next = mixer.ErrState
		b.want(b.do(r.method, r.path, host, sdp), http.StatusConflict)
		b.want(b.do(r.method, r.path, host, map[string]any{}), http.StatusUnprocessableEntity)
		b.want(b.do(r.method, strings.Replace(r.path, "l1", "l9", 1), host, sdp), http.StatusNotFound)
	}
	// Another room's host does not get at it by its id.
	b.want(b.do("GET", "/api/v1/rooms/other/legs/l1", b.token("eve", mixer.Host, "other"), nil), http.StatusNotFound)
	b.want(b.do("DELETE", "/api/v1/rooms/other/legs/l1", b.token("eve", mixer.Host, "other"), nil), http.StatusNotFound)
	b.want(b.do("DELETE", path+"/l1", host, nil), http.StatusNoContent)
	b.want(b.do("DELETE", path+"/l1", host, nil), http.StatusNotFound)
	b.want(b.do("GET", path+"/l1", host, nil), http.StatusNotFound)
}
