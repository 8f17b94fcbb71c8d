package webrtc

import (
	"context"
	"fmt"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v3"

	"mixdown/mixer"
)

// Reoffer answers a further offer of a session: hold and resume (RFC 3264,
// section 8.4), and other ICE credentials, which restart ICE. Its m-lines must be
// those that were agreed on; all else stays as it was. held tells whether the
// client takes nothing any more: it is sent nothing until it does.
//
// pion is not asked: it knows the same streams as before, and would have our
// tracks anew.
func (t *Transport) Reoffer(ctx context.Context, id, text string) (a mixer.Answer, held bool, err error) {
	p := t.peer(id)
	if p == nil {
		return mixer.Answer{}, false, mixer.ErrNoSession
	}
	o, err := parseAgain(text)
	if err != nil {
		return mixer.Answer{}, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.offer.same(o); err != nil {
		return mixer.Answer{}, false, err
	}
	if ufrag, pwd := credentials(o); ufrag != "" && ufrag != p.offer.ufrag() {
		if err := t.restart(ctx, p, fragment{ufrag: ufrag, pwd: pwd}); err != nil {
			return mixer.Answer{}, false, err
		}
		for _, m := range o.MediaDescriptions {
			for _, c := range candidates(m) {
				if err := p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.Value}); err != nil {
					p.log.Debug("candidate not used", "error", err)
				}
			}
		}
	}
	if held, err = p.answer.follow(p.offer, o, &p.version); err != nil {
		return mixer.Answer{}, false, err
	}
	if p.sink != nil {
		p.sink.hold(held)
	}
	return mixer.Answer{ID: p.id, SDP: p.answer.sdp, ETag: p.etag}, held, nil
}

// parseAgain reads an offer that is not the first.
func parseAgain(text string) (*sdp.SessionDescription, error) {
	if len(text) > maxOffer {
		return nil, badOffer("%d bytes of SDP, at most %d are read", len(text), maxOffer)
	}
	return parseSDP(text)
}

// same tells whether an offer has the m-lines of the first one, and the same
// certificate.
func (o *offer) same(again *sdp.SessionDescription) error {
	if n := len(again.MediaDescriptions); n != len(o.lines) {
		return badOffer("%d m-lines, agreed on were %d", n, len(o.lines))
	}
	if a, b := fingerprint(o.desc), fingerprint(again); a != b {
		return badOffer("another certificate than was agreed on")
	}
	for i, m := range again.MediaDescriptions {
		l := o.lines[i]
		if !l.in && !l.out {
			continue // declined, and so it stays
		}
		if mid, ok := m.Attribute(sdp.AttrKeyMID); m.MediaName.Media != l.media.MediaName.Media || ok && mid != l.mid || rejected(m) {
			return badOffer("m-line %d is another one than was agreed on", i+1)
		}
	}
	return nil
}

// follow makes the answer to an offer of the same m-lines in other directions, and
// tells whether the client wants nothing of them. version is that of the last
// description.
func (a *answer) follow(agreed *offer, again *sdp.SessionDescription, version *uint64) (held bool, err error) {
	desc := new(sdp.SessionDescription)
	if err := desc.UnmarshalString(a.sdp); err != nil {
		return false, fmt.Errorf("own answer: %w", err)
	}
	*version = max(*version, desc.Origin.SessionVersion) + 1
	desc.Origin.SessionVersion = *version
	held = true
	for i, m := range desc.MediaDescriptions {
		l := agreed.lines[i]
		if !l.in && !l.out {
			continue
		}
		sends, receives := direction(again, again.MediaDescriptions[i])
		in, out := l.in && sends, l.out && receives
		held = held && !out
		for k, attr := range m.Attributes {
			switch attr.Key {
			case sdp.AttrKeySendRecv, sdp.AttrKeySendOnly, sdp.AttrKeyRecvOnly, sdp.AttrKeyInactive:
				m.Attributes[k].Key = directionKey(in, out)
			}
		}
	}
	b, err := desc.Marshal()
	if err != nil {
		return false, fmt.Errorf("own answer: %w", err)
	}
	a.sdp = string(b)
	return held, nil
}

// directionKey is the attribute of a line that takes and sends so.
func directionKey(in, out bool) string {
	switch {
	case in && out:
		return sdp.AttrKeySendRecv
	case in:
		return sdp.AttrKeyRecvOnly
	case out:
		return sdp.AttrKeySendOnly
	}
	return sdp.AttrKeyInactive
}

// fingerprint is the first one of a description.
func fingerprint(d *sdp.SessionDescription) string { return anywhere(d, "fingerprint") }

// credentials are those of ICE in a description.
func credentials(d *sdp.SessionDescription) (ufrag, pwd string) {
	return anywhere(d, "ice-ufrag"), anywhere(d, "ice-pwd")
}

func anywhere(d *sdp.SessionDescription, key string) string {
	for _, m := range d.MediaDescriptions {
		if v, ok := m.Attribute(key); ok {
			return v
		}
	}
	v, _ := d.Attribute(key)
	return v
}

// hold withholds everything, or lets it go on: pictures with a keyframe.
func (s *sink) hold(held bool) {
	s.mu.Lock()
	was, sub := s.held, s.sub
	s.held, s.missed = held, s.missed || held
	s.mu.Unlock()
	if was && !held && sub != nil {
		sub.Resume()
	}
}
