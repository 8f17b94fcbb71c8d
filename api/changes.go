package api

import (
	"bytes"
	"encoding/json"
	"slices"

	"mixdown/mixer"
)

// changesMessage is what became of the state sent before, for clients that asked for it: the
// whole of a room of nine, sent whenever somebody begins to speak, would take
// more of a phone's link than the sound.
type changesMessage struct {
	Type    string  `json:"type"`
	Changes changes `json:"changes"`
}

// changes are patches (RFC 7396): of the state itself without its participants, and
// of each participant that changed. Order is there if who is in the room changed, or in what order.
type changes struct {
	State        json.RawMessage            `json:"state,omitempty"`
	Participants map[string]json.RawMessage `json:"participants,omitempty"` // by id
	Order        []string                   `json:"order,omitempty"`        // ids
}

// brief is a state without what a client that takes changes is not told: where tiles
// are, what others get, what is asked of them, what they send, how loud anybody is, and what the
// server saves. All that would come at once with the first picture, and on a thin link it is a third
// of a second of queue. A client without a picture is not told either who else is heard than
// the speaker: on a link for sound alone a message of 250 bytes stands 70 ms before it.
func brief(st mixer.State, you string, picture bool) mixer.State {
	st.Participants = slices.Clone(st.Participants)
	st.Savings, st.Layouts = nil, []mixer.CanvasState{}
	for i := range st.Participants {
		m := &st.Participants[i]
		m.Level, m.Open = 0, m.Open && picture
		if m.ID != you {
			m.Ask, m.Width, m.Height = nil, 0, 0
			m.Tier, m.Codec, m.Canvas = "", "", ""
		}
	}
	return st
}

// diff returns what turns one state into another, whether that is anything, and whether it
// can wait: it is only who is heard and what is sent to whom.
func diff(from, to mixer.State) (c changes, some, waits bool) {
	waits = true
	was := map[string]mixer.Member{}
	for _, m := range from.Participants {
		was[m.ID] = m
	}
	c.Participants = map[string]json.RawMessage{}
	var order []string
	for _, m := range to.Participants {
		order = append(order, m.ID)
		old := was[m.ID]
		level := m.Level
		m.Level = old.Level // changes all the time, and is looked at with the others
		a, b := encode(old), encode(m)
		if bytes.Equal(a, b) {
			continue
		}
		m.Level = level
		c.Participants[m.ID] = patch(a, encode(m))
		calm := old
		calm.Open, calm.Level, calm.Video, calm.Width, calm.Height = m.Open, m.Level, m.Video, m.Width, m.Height
		calm.Tier, calm.Codec, calm.Canvas = m.Tier, m.Codec, m.Canvas
		waits = waits && bytes.Equal(encode(calm), encode(m))
	}
	if !slices.EqualFunc(from.Participants, to.Participants, func(a, b mixer.Member) bool { return a.ID == b.ID }) {
		c.Order, waits = order, false
	}
	from.Participants, to.Participants = nil, nil
	a := from
	a.Version = to.Version
	some = len(c.Participants) > 0 || c.Order != nil || !bytes.Equal(encode(a), encode(to))
	a.Speaker = to.Speaker
	waits = waits && bytes.Equal(encode(a), encode(to))
	c.State = patch(encode(from), encode(to))
	return c, some, waits
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // values of ours: they have no other kinds of fields
	}
	return b
}

// patch returns what turns one JSON object into another, by whole fields.
func patch(from, to []byte) json.RawMessage {
	var a, b, out map[string]json.RawMessage
	if json.Unmarshal(from, &a) != nil || json.Unmarshal(to, &b) != nil {
		return to
	}
	out = map[string]json.RawMessage{}
	for k, v := range b {
		if !bytes.Equal(a[k], v) {
			out[k] = v
		}
	}
	for k := range a {
		if _, ok := b[k]; !ok {
			out[k] = json.RawMessage("null")
		}
	}
	return encode(out)
}
