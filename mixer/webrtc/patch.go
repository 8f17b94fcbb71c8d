package webrtc

import (
	"context"
	"strings"

	"github.com/pion/webrtc/v3"

	"mixdown/mixer"
)

// Patch takes candidates that came up after the offer, or restarts ICE when the
// fragment has other credentials (RFC 9725, section 4.3). ifMatch is the ETag
// of the ICE session that the fragment belongs to, or "*"; some clients of old
// drafts send none. answer is empty unless ICE was restarted.
func (t *Transport) Patch(ctx context.Context, id, ifMatch, text string) (answer, etag string, err error) {
	p := t.peer(id)
	if p == nil {
		return "", "", mixer.ErrNoSession
	}
	f, err := parseFragment(text)
	if err != nil {
		return "", "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := strings.Trim(strings.TrimPrefix(ifMatch, "W/"), `"`); m != "" && m != "*" && m != p.etag {
		return "", p.etag, mixer.ErrStale
	}
	restart := f.ufrag != "" && f.ufrag != p.offer.ufrag()
	if restart {
		if f.pwd == "" {
			return "", p.etag, badOffer("ICE restart without a=ice-pwd")
		}
		if err := t.restart(ctx, p, f); err != nil {
			return "", p.etag, err
		}
	}
	for _, c := range f.candidates {
		// A candidate that cannot be used (of a kind not known here, or behind mDNS)
		// is one less, not an error.
		if err := p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c}); err != nil {
			p.log.Debug("candidate not used", "error", err)
		}
	}
	// A client whose network swallowed the answer to its restart asks again.
	if restart || strings.TrimSpace(ifMatch) == "*" && f.ufrag != "" {
		return p.answer.fragment(p.offer), p.etag, nil
	}
	return "", p.etag, nil
}

// restart begins a new ICE session of the same connection.
func (t *Transport) restart(ctx context.Context, p *peer, f fragment) error {
	remote, err := p.offer.restarted(f.ufrag, f.pwd)
	if err != nil {
		return badOffer("%v", err)
	}
	o := new(offer)
	*o = *p.offer
	if o.desc, err = parseSDP(remote); err != nil {
		return err
	}
	p.route.Store(nil) // until ICE has chosen again
	before := p.offer
	p.offer = o
	if err := t.negotiate(ctx, p, remote); err != nil {
		p.offer = before
		return err
	}
	p.log.Info("ICE restarted")
	return nil
}
