package codectest

import (
	"bytes"
	"testing"
	"time"

	"mixdown/codec"
)

// Cuts compares what a unit becomes for an MTU with what it should; nil is an error.
func Cuts(t *testing.T, name string, p codec.Payload, u codec.Unit, mtu int, want [][]byte) {
	t.Helper()
	got, err := p.NewPacketizer().Packetize(u, mtu)
	if (err != nil) != (want == nil) || len(got) != len(want) {
		t.Errorf("%s: %x, %v", name, got, err)
		return
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s: payload %d is %x, want %x", name, i, got[i], want[i])
		}
	}
}

// Keyframes looks whether a keyframe is known as one, and no more once a byte of it is
// another, by index, or it is cut to less.
func Keyframes(t *testing.T, p codec.Payload, key []byte, changes map[int]byte, cut []byte) {
	t.Helper()
	dep := p.NewDepacketizer()
	if !dep.Keyframe(key) {
		t.Error("a keyframe is not recognized")
	}
	for i, change := range changes {
		b := bytes.Clone(key)
		b[i] = change
		if dep.Keyframe(b) {
			t.Errorf("%x is recognized", b)
		}
	}
	if dep.Keyframe(cut) || dep.Keyframe(nil) {
		t.Error("a cut one is recognized")
	}
}

// Drops starves an encoder, which leaves pictures out if it may, but no keyframe; the
// units of what is left out are empty.
func Drops(t *testing.T, e codec.VideoEncoder, cfg codec.VideoConfig, may bool) {
	t.Helper()
	const pictures, key = 50, 40
	empty := 0
	for i := range pictures {
		f := MovingPicture(cfg.Width, cfg.Height, i)
		u, err := e.Encode(f, time.Duration(i)*time.Second/time.Duration(cfg.FPS), i == key)
		f.Release()
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Data) == 0 {
			empty++
		}
		if i == key && !u.Keyframe {
			t.Error("a keyframe was dropped")
		}
	}
	if (empty > 0) != may {
		t.Errorf("%d of %d pictures dropped, may drop: %v", empty, pictures, may)
	}
}
