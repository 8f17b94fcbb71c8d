package load

import (
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v3"
)

// receiveAudio counts the track of sound until it ends.
func (b *Bot) receiveAudio(track *webrtc.TrackRemote, since func() time.Duration) {
	buf := make([]byte, 1500)
	var p rtp.Packet
	var next uint16
	for first := true; ; {
		n, _, err := track.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if err := p.Unmarshal(buf[:n]); err != nil {
			continue // SRTP let it pass, so its sender is at fault; it shows as lost
		}
		b.Audio.Take(&p.Header, n, len(p.Payload), now)
		if len(p.Payload) == 0 {
			continue
		}
		missing := int(int16(p.SequenceNumber - next))
		if first {
			first, missing = false, 0
			b.update(func(s *Status) {
				if s.Sound == 0 {
					s.Sound = since()
				}
			})
		}
		if b.listener != nil && missing >= 0 {
			b.listener.Sound(p.Payload, missing, now)
		}
		if missing >= 0 {
			next = p.SequenceNumber + 1
		}
	}
}

// receiveVideo counts the track of pictures until it ends. It puts them together
// up to the first one, which all bots wait for; a listener decodes them all.
func (b *Bot) receiveVideo(pc *webrtc.PeerConnection, track *webrtc.TrackRemote, since func() time.Duration) {
	var pictures *assembler
	asked, shown := time.Now(), false
	for {
		buf := make([]byte, 1500)
		n, _, err := track.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		p := &rtp.Packet{}
		if err := p.Unmarshal(buf[:n]); err != nil {
			continue
		}
		b.Video.Take(&p.Header, n, len(p.Payload), now)
		if shown && b.listener == nil {
			continue
		}
		if pictures == nil {
			// Which of its codecs it is to get nobody knows before the first packet.
			_, name, _ := strings.Cut(track.Codec().MimeType, "/")
			c := b.takes.Find(name)
			if c == nil {
				b.log.Debug("pictures", "bot", b.ID, "codec", name)
				return
			}
			pictures = newAssembler(c)
		}
		pictures.push(p, func(unit []byte, key bool) {
			if !shown {
				shown = true
				b.update(func(s *Status) {
					if s.Picture == 0 {
						s.Picture = since()
					}
				})
			}
			if b.listener != nil && !b.listener.Picture(unit, key) {
				pictures.waiting = true
			}
		})
		if pictures.waiting && now.Sub(asked) > keyframeEvery {
			asked = now
			if err := pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}}); err != nil {
				return
			}
		}
	}
}
