package webrtc

import (
	"errors"
	"strings"
	"sync"

	"github.com/pion/dtls/v2"
)

// srtpProfiles are the SRTP protection profiles that we take, best first: GCM is
// one pass over a packet where AES_CM with HMAC is two, and only it goes the
// direct way.
var srtpProfiles = []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80}

// maxRefused bounds how many clients are remembered.
const maxRefused = 1024

// refusals are clients that did not get through a handshake with GCM alone, and
// get the whole list when they come again.
type refusals struct {
	mu  sync.Mutex
	who map[string]struct{} // by room and identity
}

// profiles returns what to offer a client in its handshake. Chromium takes AES_CM
// whenever it may, whoever's list it is, and GCM if there is nothing else. So
// clients get GCM alone whose SDP is younger than their GCM: AV1's level-idx
// came to libwebrtc's offers after GCM was on by default.
func (t *Transport) profiles(p *peer) []dtls.SRTPProtectionProfile {
	p.onlyGCM = p.offer.young() && !t.refused.has(p)
	if p.onlyGCM {
		return srtpProfiles[:1]
	}
	return srtpProfiles
}

// young reports whether the offer is of a client that can be expected to take GCM.
func (o *offer) young() bool {
	for _, l := range o.lines {
		for _, a := range l.media.Attributes {
			if a.Key == "fmtp" && strings.Contains(a.Value, "level-idx=") {
				return true
			}
		}
	}
	return false
}

func (r *refusals) has(p *peer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.who[p.place()]
	return ok
}

// learn looks at a session that has ended.
func (r *refusals) learn(p *peer) {
	select {
	case <-p.connected:
		return
	default:
	}
	if !p.onlyGCM || !errors.Is(p.reason, errFailed) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.who == nil || len(r.who) >= maxRefused {
		r.who = make(map[string]struct{})
	}
	r.who[p.place()] = struct{}{}
}

// place is whose session it is.
func (p *peer) place() string { return p.session.Room + "\x00" + p.session.Identity.ID }
