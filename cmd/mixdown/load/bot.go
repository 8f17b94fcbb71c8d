package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v3"

	"mixdown/codec"
	"mixdown/mixer"
)

const (
	connectTimeout = 10 * time.Second
	keyframeEvery  = time.Second // between two requests
	layoutEvery    = 500 * time.Millisecond
	hangupTimeout  = 2 * time.Second
)

// Bot is one client: it joins, sends its clip, and counts what it gets. A
// viewer is a bot without a clip.
type Bot struct {
	ID       int
	Identity mixer.Identity
	Attempts int // to join before giving up; a bot that was in tries for ever

	door     *Door
	engine   *webrtc.API
	clips    ClipConfig
	takes    codec.Set // of pictures
	clip     *Clip     // nil for a viewer
	schedule Schedule
	crew     *Crew
	listener *Listener // nil unless it decodes
	log      *slog.Logger

	Video, Audio *Receiver

	mu     sync.Mutex
	status Status
}

// Status is how a bot is getting on.
type Status struct {
	Joined   bool
	In       bool // now
	GaveUp   bool
	Sessions int
	Attempts int
	Asked    int           // for a keyframe, by the server
	Answered time.Duration // from the offer to its answer
	Picture  time.Duration // from the offer to the first whole keyframe, of the first session
	Sound    time.Duration // from the offer to the first sound
	Err      error         // the last one
}

// Status returns how the bot is getting on.
func (b *Bot) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

func (b *Bot) update(change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.status)
}

// Run joins and stays until ctx ends. When the connection breaks the bot joins
// again. It returns an error if it never got in.
func (b *Bot) Run(ctx context.Context) error {
	wait := 250 * time.Millisecond
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := b.session(ctx)
		b.update(func(s *Status) { s.In, s.Attempts = false, s.Attempts+1 })
		if ctx.Err() != nil {
			return nil
		}
		b.update(func(s *Status) { s.Err = err })
		joined := b.Status().Joined
		b.log.Debug("session ended", "bot", b.ID, "err", err)
		var r *refusal
		if hopeless := errors.As(err, &r) && r.final(); !joined && (hopeless || attempt >= b.Attempts) {
			b.update(func(s *Status) { s.GaveUp = true })
			return err
		}
		if time.Since(began) > time.Minute {
			wait = 250 * time.Millisecond
		}
		pause := wait
		if r != nil {
			pause = max(pause, r.after)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// tasks are the goroutines of one session. Tracks may still turn up while it is
// being closed; what they would start then, is not started.
type tasks struct {
	mu     sync.Mutex
	closed bool
	group  sync.WaitGroup
}

// Go runs f in a goroutine.
func (t *tasks) Go(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.group.Go(f)
	}
}

// Wait waits for all that was started and lets nothing more start.
func (t *tasks) Wait() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.group.Wait()
}

// session is one stay in the room.
func (b *Bot) session(ctx context.Context) (err error) {
	token, identity, err := b.door.Enter(ctx, b.Identity)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	pc, err := b.engine.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		end(nil)
		return err
	}
	tasks := &tasks{}
	defer func() {
		end(nil)
		if e := pc.GracefulClose(); e != nil {
			b.log.Debug("close", "bot", b.ID, "err", e)
		}
		tasks.Wait()
	}()

	connected := follow(pc, end)
	b.Video.Restart()
	b.Audio.Restart()
	var offered time.Time // set before the answer, hence before any track
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		since := func() time.Duration { return time.Since(offered) }
		tasks.Go(func() { drain(receiver) })
		if track.Kind() == webrtc.RTPCodecTypeAudio {
			tasks.Go(func() { b.receiveAudio(track, since) })
		} else {
			tasks.Go(func() { b.receiveVideo(pc, track, since) })
		}
	})

	sender, err := b.tracks(pc, tasks)
	if err != nil {
		return err
	}
	offer, err := gather(ctx, pc)
	if err != nil {
		return err
	}
	offered = time.Now()
	s, err := b.door.Offer(ctx, token, offer, sender != nil)
	if r := (*refusal)(nil); errors.As(err, &r) && r.status == http.StatusNotFound {
		// Rooms that are not open are made by whoever holds the keys.
		if e := b.door.Create(ctx); e != nil {
			return fmt.Errorf("%w; making the room: %w", err, e)
		}
		s, err = b.door.Offer(ctx, token, offer, sender != nil)
	}
	if err != nil {
		return err
	}
	defer func() {
		// ctx has ended by now, and still the server is to know.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangupTimeout)
		defer cancel()
		if e := b.door.Hangup(late, s); e != nil {
			b.log.Debug("hangup", "bot", b.ID, "err", e)
		}
	}()
	b.update(func(st *Status) { st.Answered = time.Since(offered) })
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.SDP}
	if err := pc.SetRemoteDescription(answer); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	patience := time.NewTimer(connectTimeout)
	defer patience.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-patience.C:
		return fmt.Errorf("no connection after %v: no UDP between this machine and the server's --rtc-address?", connectTimeout)
	case <-connected:
	}
	b.update(func(s *Status) { s.Joined, s.In, s.Sessions, s.Err = true, true, s.Sessions+1, nil })
	if b.listener != nil {
		tasks.Go(func() { b.watch(ctx, token, identity) })
	}
	if sender == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	sender.negotiated()
	b.crew.Enter(identity, b.ID, time.Now())
	defer b.crew.Leave(b.ID)
	if err := sender.Run(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// tracks adds what the bot sends and receives; the sender is nil for a viewer.
func (b *Bot) tracks(pc *webrtc.PeerConnection, tasks *tasks) (*Sender, error) {
	if b.clip == nil {
		only := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if _, err := pc.AddTransceiverFromKind(kind, only); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	sender, err := newSender(b.ID, b.schedule, b.clip, b.clips.Video, b.clips.Audio)
	if err != nil {
		return nil, err
	}
	sound, err := pc.AddTrack(sender.audio)
	if err != nil {
		return nil, err
	}
	picture, err := pc.AddTrack(sender.video)
	if err != nil {
		return nil, err
	}
	// Feedback must be read for the interceptors to see it; reading ends with the
	// connection.
	sender.rtp = sound
	tasks.Go(func() { drain(sound) })
	tasks.Go(func() {
		for {
			packets, _, err := picture.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range packets {
				switch p.(type) {
				case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
					b.update(func(s *Status) { s.Asked++ })
				}
			}
		}
	})
	return sender, nil
}

// drain reads feedback, which is for the interceptors, until the connection closes.
func drain(r interface {
	Read([]byte) (int, interceptor.Attributes, error)
}) {
	buf := make([]byte, 1500)
	for {
		if _, _, err := r.Read(buf); err != nil {
			return
		}
	}
}

// follow ends a session whose connection fails or closes. connected is closed when
// it stands for the first time.
func follow(pc *webrtc.PeerConnection, end context.CancelCauseFunc) (connected chan struct{}) {
	connected = make(chan struct{})
	up := sync.OnceFunc(func() { close(connected) })
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			up()
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			end(fmt.Errorf("connection %s", s))
		}
	})
	return connected
}

// gather returns an offer with all its candidates: nothing is trickled.
func gather(ctx context.Context, pc *webrtc.PeerConnection) (string, error) {
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	done := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return "", err
	}
	select {
	case <-done:
		return pc.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// watch keeps the listener's layout as it is in the room.
func (b *Bot) watch(ctx context.Context, token, identity string) {
	tick := time.NewTicker(layoutEvery)
	defer tick.Stop()
	for {
		if s, err := b.door.State(ctx, token); err == nil {
			b.listener.Layout(s, identity)
		} else if ctx.Err() == nil {
			b.log.Debug("layout", "bot", b.ID, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
