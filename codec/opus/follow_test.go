package opus

import (
	"bytes"
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

// Who follows makes the very packets that the other would have made, and the
// other goes on as if nothing had been.
func TestFollow(t *testing.T) {
	for channels := 1; channels <= 2; channels++ {
		cfg := codec.AudioConfig{
			AudioFormat: codec.AudioFormat{Rate: 48000, Channels: channels},
			Bitrate:     32000, Frame: 20 * time.Millisecond, Complexity: 5, FEC: true, Loss: 0.05,
		}
		open := func() codec.AudioEncoder {
			e, err := NewEncoder(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { e.Close() })
			return e
		}
		frame := func(i int) []int16 {
			tone := codectest.Tone(48000, 200+float64(i%7)*90, -15, i*960, 960*channels)
			return tone
		}
		encode := func(e codec.AudioEncoder, i int) []byte {
			b, err := e.Encode(frame(i))
			if err != nil {
				t.Fatal(err)
			}
			return bytes.Clone(b)
		}
		alone, other, e := open(), open(), open()
		for i := range 50 {
			encode(alone, i)
			encode(other, i)
		}
		encode(e, 3)
		if err := e.(codec.Follower).Follow(other); err != nil {
			t.Fatal(err)
		}
		for i := 50; i < 60; i++ {
			want := encode(alone, i)
			if !bytes.Equal(encode(e, i), want) {
				t.Errorf("%d channels: packet %d differs from that of who was followed", channels, i)
			}
		}
		for i := 50; i < 60; i++ {
			encode(e, 99-i) // they share nothing
			if got := encode(other, i); len(got) == 0 {
				t.Error("who was followed has stopped")
			}
		}
	}
}

func TestFollowRefuses(t *testing.T) {
	cfg := codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: 48000, Channels: 1},
		Bitrate:     32000, Frame: 20 * time.Millisecond, Complexity: 5,
	}
	open := func(cfg codec.AudioConfig) codec.AudioEncoder {
		e, err := NewEncoder(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := open(cfg).(*Encoder)
	stereo, slow := cfg, cfg
	stereo.Channels, slow.Rate = 2, 16000
	for _, c := range []codec.AudioConfig{stereo, slow} {
		if e.Follow(open(c)) == nil {
			t.Errorf("follows an encoder of %+v", c)
		}
	}
	if e.Follow(nil) == nil {
		t.Error("follows nobody")
	}
	closed := open(cfg)
	closed.Close()
	if e.Follow(closed) == nil || closed.(*Encoder).Follow(e) == nil {
		t.Error("follows after Close")
	}
}
