package rtp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"mixdown/codec/codectest"
	"mixdown/mixer"
)

// Two servers call each other: sound and pictures, in the clear and with each
// suite, and who misses a keyframe gets one.
func TestTwoLegs(t *testing.T) {
	for i, c := range []struct {
		srtp           Policy
		suite          string // the only one that is offered
		sound, picture string
		without        []string // not in the offer
	}{
		{Off, "", "PCMU", "VP8", []string{"opus", "G722", "PCMA"}},
		{Required, "AEAD_AES_128_GCM", "opus", "H264", []string{"VP8"}},
		{Required, "AES_CM_128_HMAC_SHA1_80", "G722", "VP8", []string{"opus"}},
		{Required, "AES_CM_128_HMAC_SHA1_32", "PCMA", "H264", []string{"opus", "G722", "PCMU", "VP8"}},
	} {
		t.Run(fmt.Sprint(c.srtp, c.suite, c.sound, c.picture), func(t *testing.T) {
			t.Parallel()
			a, ha := newTransport(t, 30000+400*i, func(c2 *Config) { c2.SRTP = c.srtp })
			b, hb := newTransport(t, 30200+400*i, nil)
			la, offer, err := a.Offer(t.Context(), session("a"), Params{})
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, l := range strings.Split(offer, "\r\n") {
				if !strings.HasPrefix(l, "a=crypto") || strings.Contains(l, c.suite) {
					lines = append(lines, l)
				}
			}
			offer = strings.Join(lines, "\r\n")
			for _, name := range c.without {
				offer = strings.ReplaceAll(offer, " "+name+"/", " not-"+name+"/")
			}
			lb, answer, err := b.Answer(t.Context(), session("b"), Params{}, offer)
			if err != nil {
				t.Fatal(err)
			}
			if err := la.Accept(answer); err != nil {
				t.Fatal(err)
			}
			eventually(t, "join", func() bool {
				return ha.look(func() bool { return ha.sink != nil && ha.src != nil }) && hb.look(func() bool { return hb.src != nil })
			})
			var heard []int16
			material(t, c.sound, c.picture, 700).play(ha.sink, func() {
				pcm := make([]int16, 960)
				hb.src.Voice().Pull(pcm)
				heard = append(heard, pcm...)
			})
			if l := codectest.ToneLevel(heard[len(heard)/2:], 48000, 700); l < -22 {
				t.Errorf("the tone is at %.1f dB", l)
			}
			if n := len(hb.units); n < 20 || !hb.units[0].Keyframe {
				t.Errorf("%d pictures came", n)
			}
			info := lb.Info()
			if info.Audio.SRTP != c.suite || info.Video.SRTP != c.suite || info.Audio.Bad+info.Video.Bad > 0 || info.State != "connected" {
				t.Errorf("%+v %+v %+v", info, info.Audio, info.Video)
			}
			before := ha.keys
			hb.src.RequestKeyframe()
			eventually(t, "keyframe", func() bool { return ha.look(func() bool { return ha.keys > before }) })
			eventually(t, "reports", func() bool { return la.Info().Audio.RTT > 0 && lb.Info().Audio.Lost == 0 })

			// What is switched off stays so, over hold and in another room.
			sends := func(sound, pictures bool) {
				t.Helper()
				if !hb.look(func() bool { return hb.media == [2]bool{sound, pictures} }) {
					t.Errorf("the room was not told that sound is sent: %v, pictures: %v", sound, pictures)
				}
			}
			sends(true, true)
			no, yes := false, true
			if err := lb.Switch(&no, nil); err != nil {
				t.Error(err)
			}
			sends(false, true)

			// Hold and resume.
			held, err := lb.Update(strings.ReplaceAll(offer, "a=sendrecv", "a=sendonly"))
			if err != nil || !strings.Contains(held, "a=recvonly") || !lb.Held() {
				t.Errorf("hold: %v, held %v: %s", err, lb.Held(), held)
			}
			if hb.look(func() bool { return hb.fit.Tier != -1 }) {
				t.Error("pictures are made for who is on hold")
			}
			sends(false, true)
			if _, err := lb.Update(offer); err != nil || lb.Held() {
				t.Errorf("resume: %v", err)
			}
			sends(false, true)
			// From room to room.
			if err := lb.Attach(t.Context(), session("c")); err != nil {
				t.Fatal(err)
			}
			if lb.Info().Room != "c" || lb.ended() {
				t.Errorf("%+v", lb.Info())
			}
			sends(false, true)
			if err := lb.Switch(&yes, &no); err != nil {
				t.Error(err)
			}
			sends(true, false)
			// The room ends the one, goodbye the other.
			hb.src.Close(mixer.ErrRemoved)
			<-lb.Done()
			if !errors.Is(lb.reason, mixer.ErrRemoved) {
				t.Errorf("ended by %v", lb.reason)
			}
			eventually(t, "goodbye", la.ended)
		})
	}
}

// A caller stands in the lobby, hears a prompt, presses keys, and is let in.
func TestLobby(t *testing.T) {
	t.Parallel()
	tr, h := newTransport(t, 32000, nil)
	var mu sync.Mutex
	keys := ""
	p := newPhone(t)
	l, answer, err := tr.Answer(t.Context(), mixer.Session{Publish: true, Receive: true}, Params{Digit: func(_ *Leg, key byte) {
		mu.Lock()
		keys += string(key)
		mu.Unlock()
	}}, sdpOf(fmt.Sprintf("m=audio %d RTP/AVP 0 101 13", p.port()), "a=rtpmap:101 telephone-event/8000"))
	if err != nil {
		t.Fatal(err)
	}
	if h.src != nil || !strings.Contains(answer, "telephone-event/8000") || !strings.Contains(answer, "CN/8000") {
		t.Fatalf("answered %s", answer)
	}
	p.to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(portIn(t, answer, "audio")))
	played := make(chan error, 1)
	go func() { played <- l.Play(context.Background(), codectest.Tone(48000, 600, -12, 0, 24000)) }()
	if n := p.gets(700 * time.Millisecond); n < 23 || n > 29 { // one of them is a report
		t.Errorf("%d packets of half a second", n)
	}
	if err := <-played; err != nil {
		t.Error(err)
	}
	for i, key := range []byte{4, 2, 11} {
		for n := range 5 { // three of them the last one again
			p.send(101, uint32(8000*i), []byte{key, byte(min(n, 2)/2) << 7, 1, 0})
		}
	}
	p.send(101, 99999, []byte{16, 0, 0, 0}) // a flash is no key
	p.send(101, 99999, []byte{1})
	eventually(t, "keys", func() bool { mu.Lock(); defer mu.Unlock(); return keys == "42#" })
	if err := l.Attach(t.Context(), session("a")); err != nil {
		t.Fatal(err)
	}
	if h.media != [2]bool{true, false} {
		t.Errorf("told of sound and pictures: %v", h.media)
	}
	p.send(13, 200000, []byte{60})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l.Play(ctx, make([]int16, 4800)) == nil {
		t.Error("plays after the end")
	}
	l.Hangup(nil)
	<-l.Done()
	if l.Play(t.Context(), make([]int16, 4800)) == nil || l.Attach(t.Context(), session("a")) == nil {
		t.Error("a leg that has ended does something")
	}
}

// Packets go where they come from. Another address takes over only behind
// silence.
func TestLatch(t *testing.T) {
	t.Parallel()
	tr, h := newTransport(t, 32200, nil)
	p, other := newPhone(t), newPhone(t)
	_, answer, err := tr.Answer(t.Context(), session("a"), Params{}, sdpOf("m=audio 9 RTP/AVP 0"))
	if err != nil {
		t.Fatal(err)
	}
	p.to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(portIn(t, answer, "audio")))
	other.to = p.to
	sounds := material(t, "PCMU", "VP8", 500).sounds
	next := 0
	hears := func(who *phone) int {
		for range 5 {
			h.sink.WriteAudio(sounds[next%len(sounds)])
			next++
		}
		return who.gets(100 * time.Millisecond)
	}
	p.send(0, 0, make([]byte, 160))
	eventually(t, "latch", func() bool { return hears(p) > 0 })
	other.send(0, 160, make([]byte, 160))
	if hears(other) > 0 || hears(p) == 0 {
		t.Error("taken over by another at once")
	}
	time.Sleep(relatchAfter)
	other.send(0, 320, make([]byte, 160))
	eventually(t, "taken over behind silence", func() bool { return hears(other) > 0 })
}

func TestSilenceEnds(t *testing.T) {
	t.Parallel()
	tr, _ := newTransport(t, 32400, func(c *Config) { c.Silence = time.Second; c.MaxLegs = 2 })
	reasons := make(chan error, 2)
	params := Params{Ended: func(_ *Leg, reason error) { reasons <- reason }}
	if _, _, err := tr.Answer(t.Context(), session("a"), params, sdpOf("m=audio 9 RTP/AVP 0")); err != nil {
		t.Fatal(err)
	}
	listener, _, err := tr.Answer(t.Context(), session("a"), params, sdpOf("m=audio 9 RTP/AVP 0", "a=recvonly"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tr.Answer(t.Context(), session("a"), Params{}, sdpOf("m=audio 9 RTP/AVP 0")); !errors.Is(err, mixer.ErrFull) {
		t.Errorf("a third leg: %v", err)
	}
	if r := <-reasons; !errors.Is(r, ErrSilent) {
		t.Errorf("ended by %v", r)
	}
	if listener.ended() {
		t.Error("who only listens is waited for")
	}
}
