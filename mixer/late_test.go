package mixer_test

import (
	"context"
	"math"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/mixer"
	"mixdown/mixer/jitter"
	"mixdown/mixer/stream"
)

// lateCamera sends flashes and beeps as RTP, its pictures half a second after
// their sound. Its sender reports say what belongs together.
type lateCamera struct {
	*flasher
	voice     *stream.Voice
	assembler *jitter.Assembler
	sound     codec.AudioEncoder
	opus      *codec.Codec
	cutter    codec.Packetizer
	number    [2]uint16
}

const pictureDelay = 500 * time.Millisecond

func newLateCamera(t *testing.T) *lateCamera {
	t.Helper()
	set := catalog.Default()
	clock := new(jitter.Sender)
	c := &lateCamera{flasher: newFlasher(t, set, 0), opus: set.Find("opus")}
	c.voice = stream.NewVoice(c.opus, clock)
	c.assembler = jitter.NewAssembler(jitter.AssemblerConfig{Sender: clock})
	c.cutter = c.units[0].Codec.Payload.NewPacketizer()
	var err error
	c.sound, err = c.opus.NewAudioEncoder(codec.AudioConfig{AudioFormat: codec.AudioFormat{Rate: 48_000, Channels: 1}, Bitrate: 32_000, Frame: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *lateCamera) Voice() mixer.Voice { return c.voice }

// play sends until ctx ends. Each kind's timestamps begin somewhere.
func (c *lateCamera) play(ctx context.Context, t *testing.T, pub *mixer.Publication) {
	const videoBase, audioBase = 1 << 31, 77
	type picture struct {
		at  time.Time
		lit bool
	}
	var way []picture
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	pcm := make([]int16, 960)
	for n := 0; ; n++ {
		now := time.Now()
		if n%50 == 10 { // reports arrive at once
			for kind, rate := range []int64{90_000, 48_000} {
				base := []uint32{videoBase, audioBase}[kind]
				sr := &rtcp.SenderReport{SSRC: uint32(kind + 1), NTPTime: jitter.ToNTP(now), RTPTime: base + uint32(int64(now.Sub(c.start))*rate/int64(time.Second))}
				if kind == 0 {
					c.assembler.SenderReport(sr.NTPTime, sr.RTPTime, now)
				} else {
					c.voice.SenderReport(sr, now)
				}
			}
		}
		if n%2 == 0 {
			way = append(way, picture{now, c.lit(now)})
		}
		for len(way) > 0 && now.Sub(way[0].at) >= pictureDelay {
			u := c.units[0]
			if way[0].lit {
				u = c.units[1]
			}
			payloads, err := c.cutter.Packetize(u, 1160)
			if err != nil {
				t.Error(err)
				return
			}
			for i, payload := range payloads {
				c.number[0]++
				p := &rtp.Packet{Header: rtp.Header{
					SSRC: 1, SequenceNumber: c.number[0], Marker: i == len(payloads)-1,
					Timestamp: videoBase + uint32(way[0].at.Sub(c.start)*9/100_000),
				}, Payload: payload}
				for _, u := range c.assembler.Push(u.Codec, p, now) {
					pub.WriteUnit(u)
				}
			}
			way = way[1:]
		}
		for i := range pcm { // what follows now, as if it were sent before it is said
			pcm[i] = 0
			if c.lit(now.Add(time.Duration(i) * time.Second / 48_000)) {
				pcm[i] = int16(8000 * math.Sin(2*math.Pi*1000*float64(n*960+i)/48_000))
			}
		}
		data, err := c.sound.Encode(pcm)
		if err != nil {
			t.Error(err)
			return
		}
		c.number[1]++
		p := &rtp.Packet{Header: rtp.Header{SSRC: 2, SequenceNumber: c.number[1], Timestamp: audioBase + uint32(n*960)}, Payload: data}
		c.voice.Push(c.opus, p, nil, -127, now)
		c.voice.Show(pub, c.opus, p, now)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// TestLatePictures: what a participant's file has together is what was captured
// together, though its pictures come half a second after its sound.
func TestLatePictures(t *testing.T) {
	if _, err := exec.LookPath("ffprobe"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	var rec mixer.Recording
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t, dir, 0, nil)
		defer s.close()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		c := newLateCamera(t)
		pub, err := s.rooms.Publish(ctx, "a", mixer.Identity{ID: "late", Name: "Late", Role: mixer.Participant}, c)
		if err != nil {
			t.Fatal(err)
		}
		s.playing.Go(func() { defer c.sound.Close(); c.play(ctx, t, pub) })
		time.Sleep(3 * time.Second)
		if rec, err = s.recorder.Start(t.Context(), "a", "", mixer.RecordingSpec{Format: "mkv", Participants: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		if _, err := s.recorder.Stop("a", rec.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		rec, _ = s.recorder.Get("a", rec.ID)
	})
	files, err := filepath.Glob(filepath.Join(dir, "a", rec.ID, "pLate-*.mkv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files of the participant: %v %v, of %+v", files, err, rec.Files)
	}
	f := watch(t, files[len(files)-1]) // where decoding begins a moment passes without pictures, and ends a first one
	mean, worst := f.offset(t)
	t.Logf("%d flashes, %d beeps, sound behind pictures by %.1f ms, at most %.1f", len(f.flashes), len(f.beeps), 1000*mean, 1000*worst)
	if len(f.flashes) < 4 || len(f.beeps) < 4 || worst > .040 {
		t.Errorf("flashes %v, beeps %v", f.flashes, f.beeps)
	}
}
