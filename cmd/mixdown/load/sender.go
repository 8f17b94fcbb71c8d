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

const (
	mtu = 1150 // of a payload: leaves room for RTP, SRTP and UDP in 1280

	// A burst is sent a few packets at a time: the server's socket buffer is
	// shared by all bots.
	burst      = 8
	burstPause = time.Millisecond
)

// Sender sends one bot's clip, in step with the wall clock, for one session.
type Sender struct {
	id       int
	schedule Schedule
	clip     *Clip
	video    *webrtc.TrackLocalStaticRTP
	audio    *webrtc.TrackLocalStaticRTP
	rtp      *webrtc.RTPSender // of audio
	refresh  <-chan struct{}   // the receiver wants a keyframe

	videoCodec, audioCodec *codec.Codec
	packetizer             codec.Packetizer
	picture, speech        rtp.Packet // reused; header fields are those of the next packet
	pictureBase, soundBase uint32
	sent                   int64 // number of the newest frame sent
	stamp                  uint32
	talking                bool
	levelID                uint8 // of the RFC 6464 header extension, 0 if not negotiated
}

func newSender(id int, s Schedule, clip *Clip, videoCodec, audioCodec *codec.Codec, refresh <-chan struct{}) (*Sender, error) {
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
		id: id, schedule: s, clip: clip, video: video, audio: audio, refresh: refresh,
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
	fresh := true // the next frame is to be decodable on its own
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
		case <-t.refresh:
			fresh = true
			continue
		case <-timer.C:
		}
		var err error
		if next.Equal(packetAt) {
			err = t.sendSound(packet)
			packet++
		} else {
			err = t.sendPicture(ctx, frame, fresh)
			fresh = false
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

// sendPicture sends frame n. A clip cannot be made to have a keyframe where it
// has none; so with fresh all frames since the last one go out again, at once,
// their timestamps squeezed into the time since the newest frame sent.
func (t *Sender) sendPicture(ctx context.Context, n int64, fresh bool) error {
	clip := t.clip.Idle
	if t.schedule.TalkingFrame(t.id, n) {
		clip = t.clip.Talk
	}
	loop := int64(len(clip))
	stamp := t.pictureStamp(n)
	if fresh {
		key := n
		for n-key < loop && !clip[key%loop].Keyframe {
			key--
		}
		step := uint32(90) // RTP ticks; small, yet enough to tell frames apart
		if t.sent > 0 {
			step = min(step, (stamp-t.stamp)/uint32(n-key+2))
		}
		for at, sent := key, 0; at < n; at++ {
			packets, err := t.write(clip[at%loop].Data, stamp-uint32(n-at)*step)
			if err != nil {
				return err
			}
			if sent += packets; sent >= burst {
				sent = 0
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(burstPause):
				}
			}
		}
	}
	t.sent, t.stamp = n, stamp
	_, err := t.write(clip[n%loop].Data, stamp)
	return err
}

// pictureStamp returns the RTP timestamp of frame n.
func (t *Sender) pictureStamp(n int64) uint32 {
	return t.pictureBase + uint32(n*int64(t.videoCodec.ClockRate)/int64(t.schedule.FPS))
}

// write sends one coded picture and returns the number of its packets.
func (t *Sender) write(data []byte, stamp uint32) (int, error) {
	payloads, err := t.packetizer.Packetize(codec.Unit{Codec: t.videoCodec, Data: data}, mtu)
	if err != nil {
		return 0, err
	}
	p := &t.picture
	for i, payload := range payloads {
		p.Timestamp, p.Payload, p.Marker = stamp, payload, i == len(payloads)-1
		if err := t.video.WriteRTP(p); err != nil {
			return i, err
		}
		p.SequenceNumber++
	}
	return len(payloads), nil
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
