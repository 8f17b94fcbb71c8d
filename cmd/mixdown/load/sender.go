package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v3"

	"mixdown/codec"
)

// mtu is the size of a payload that leaves room for RTP, SRTP and UDP in 1280.
const mtu = 1150

// Sender sends one bot's clip, in step with the wall clock, for one session. It
// cannot answer a request for a keyframe with one: the clip's next is a second
// away at most.
type Sender struct {
	id       int
	schedule Schedule
	clip     *Clip
	video    *webrtc.TrackLocalStaticRTP
	audio    *webrtc.TrackLocalStaticRTP
	rtp      *webrtc.RTPSender // of audio

	videoCodec, audioCodec *codec.Codec
	packetizer             codec.Packetizer
	picture, speech        rtp.Packet // reused; header fields are those of the next packet
	pictureBase, soundBase uint32
	begun                  bool // a picture has been sent
	talking                bool
	levelID                uint8 // of the RFC 6464 header extension, 0 if not negotiated
}

func newSender(id int, s Schedule, clip *Clip, videoCodec, audioCodec *codec.Codec) (*Sender, error) {
	stream := fmt.Sprintf("bot-%d", id)
	video, err := webrtc.NewTrackLocalStaticRTP(capabilityOf(videoCodec), "video", stream)
	if err != nil {
		return nil, err
	}
	audio, err := webrtc.NewTrackLocalStaticRTP(capabilityOf(audioCodec), "audio", stream)
	if err != nil {
		return nil, err
	}
	t := &Sender{
		id: id, schedule: s, clip: clip, video: video, audio: audio,
		videoCodec: videoCodec, audioCodec: audioCodec, packetizer: videoCodec.Payload.NewPacketizer(),
		pictureBase: rand.Uint32(), soundBase: rand.Uint32(),
	}
	// Half of the numbers stay free before the wrap (RFC 3550, section 5.1, wants
	// them random; RFC 3711, section 3.3.1, is happier so).
	t.picture.Header = rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32() >> 17)}
	t.speech.Header = rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32() >> 17)}
	return t, nil
}

// negotiated takes over what the answer said.
func (t *Sender) negotiated() {
	for _, h := range t.rtp.GetParameters().HeaderExtensions {
		if h.URI == sdp.AudioLevelURI {
			t.levelID = uint8(h.ID)
		}
	}
}

// Run sends until ctx ends or the tracks are closed. Frames and packets have
// absolute deadlines: whatever is late does not make the next one late.
func (t *Sender) Run(ctx context.Context) error {
	now := time.Now()
	frame, packet := t.schedule.Frame(t.id, now), t.schedule.Packet(t.id, now)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		frameAt, packetAt := t.schedule.FrameTime(t.id, frame), t.schedule.PacketTime(t.id, packet)
		next := frameAt
		if packetAt.Before(next) {
			next = packetAt
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		var err error
		if next.Equal(packetAt) {
			err = t.sendSound(packet)
			packet++
		} else {
			err = t.sendPicture(frame)
			frame++
		}
		if errors.Is(err, io.ErrClosedPipe) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
}

// sendPicture sends frame n of the clip. The first one is a keyframe.
func (t *Sender) sendPicture(n int64) error {
	clip := t.clip.Idle
	if t.schedule.TalkingFrame(t.id, n) {
		clip = t.clip.Talk
	}
	frame := &clip[n%int64(len(clip))]
	if !t.begun && !frame.Keyframe {
		return nil
	}
	t.begun = true
	payloads, err := t.packetizer.Packetize(codec.Unit{Codec: t.videoCodec, Data: frame.Data, Keyframe: frame.Keyframe}, mtu)
	if err != nil {
		return err
	}
	p := &t.picture
	p.Timestamp = t.pictureBase + uint32(n*int64(t.videoCodec.ClockRate)/int64(t.schedule.FPS))
	for i, payload := range payloads {
		p.Payload, p.Marker = payload, i == len(payloads)-1
		if err := t.video.WriteRTP(p); err != nil {
			return err
		}
		p.SequenceNumber++
	}
	return nil
}

// sendSound sends packet n: what is said, in the bot's turn, or silence.
func (t *Sender) sendSound(n int64) error {
	p := &t.speech
	level, talking := uint8(127), t.schedule.Talks(t.id, n/slotPackets)
	p.Payload = t.clip.Silent
	if talking {
		said := &t.clip.Said[n%loopPackets]
		p.Payload, level = said.Data, said.Level
	}
	p.Marker, t.talking = talking && !t.talking, talking // begins a talkspurt (RFC 7587, section 4.1)
	p.Timestamp = t.soundBase + uint32(n*int64(packetTime)/int64(time.Second/time.Duration(t.audioCodec.ClockRate)))
	if t.levelID != 0 {
		ext, err := (rtp.AudioLevelExtension{Level: level, Voice: level < 60}).Marshal()
		if err != nil {
			return err
		}
		if err := p.SetExtension(t.levelID, ext); err != nil {
			return err
		}
	}
	if err := t.audio.WriteRTP(p); err != nil {
		return err
	}
	p.SequenceNumber++
	return nil
}
