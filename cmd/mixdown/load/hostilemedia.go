package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"mixdown/codec"
)

// payloads are the video codecs by payload type.
var payloads = []struct {
	pt   uint8
	name string
}{{payloadVP8, "VP8"}, {payloadH264, "H264"}, {payloadVP9, "VP9"}, {payloadAV1, "AV1"}}

// material makes coded pictures and keeps them: a hostile sender comes back.
type material struct {
	codecs codec.Set
	made   map[string][]Picture
}

// pictures returns n pictures of one codec and size, a keyframe first. Flat ones
// are a few bytes each, whatever their size.
func (m *material) pictures(name string, width, height, n int, flat bool) ([]Picture, error) {
	key := fmt.Sprint(name, width, height, n, flat)
	if made := m.made[key]; made != nil {
		return made, nil
	}
	c := m.codecs.Find(name)
	if c == nil || c.NewVideoEncoder == nil {
		return nil, fmt.Errorf("this build does not encode %s", name)
	}
	enc, err := c.NewVideoEncoder(codec.VideoConfig{Width: width, Height: height, FPS: 25, Bitrate: 1_000_000})
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	f := codec.NewFrame(width, height)
	defer f.Release()
	for _, plane := range [][]byte{f.Y, f.U, f.V} {
		for i := range plane {
			plane[i] = 128
		}
	}
	var out []Picture
	for i := range n {
		if !flat {
			for y := range height {
				for x := range width {
					f.Y[y*f.YStride+x] = byte(16 + (x*y/16+x+8*i)%220)
				}
			}
		}
		u, err := enc.Encode(f, time.Duration(i)*40*time.Millisecond, i == 0)
		if err != nil {
			return nil, fmt.Errorf("%s of %dx%d: %w", name, width, height, err)
		}
		if len(u.Data) > 0 {
			out = append(out, Picture{append([]byte(nil), u.Data...), u.Keyframe})
		}
	}
	if m.made == nil {
		m.made = make(map[string][]Picture)
	}
	m.made[key] = out
	return out, nil
}

// resized is a VP8 keyframe that says that it has another size (RFC 6386,
// section 9.1). Where the number of macroblocks stays, so does the picture.
func resized(p Picture, width, height int) Picture {
	b := append([]byte(nil), p.Data...)
	binary.LittleEndian.PutUint16(b[6:], uint16(width))
	binary.LittleEndian.PutUint16(b[8:], uint16(height))
	return Picture{b, true}
}

// picture sends a picture in packets of one payload type.
func (a *attack) picture(pt uint8, ts uint32, p Picture) error {
	payloads, err := a.cut(pt, p)
	if err != nil {
		return err
	}
	for i, b := range payloads {
		if err := a.rtp(a.video, pt, ts, i == len(payloads)-1, b); err != nil {
			return err
		}
	}
	return nil
}

// cut returns the payloads of a picture.
func (a *attack) cut(pt uint8, p Picture) ([][]byte, error) {
	k := a.packetizers[pt]
	if k == nil {
		for _, f := range payloads {
			if f.pt == pt {
				k = a.codecs.Find(f.name).Payload.NewPacketizer()
			}
		}
		if a.packetizers == nil {
			a.packetizers = make(map[uint8]codec.Packetizer)
		}
		a.packetizers[pt] = k
	}
	if out, err := k.Packetize(codec.Unit{Data: p.Data, Keyframe: p.Keyframe}, mtu); err == nil {
		return out, nil
	}
	// A packetizer that reads the units refuses a broken one: it goes as it is.
	var out [][]byte
	for b := range slices.Chunk(p.Data, mtu) {
		out = append(out, slices.Clone(b))
	}
	return out, nil
}

// noise is so many random bytes.
func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}
