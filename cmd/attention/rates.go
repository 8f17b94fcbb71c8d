package main

import (
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/image/draw"

	"mixdown/codec"
	"mixdown/codec/yuv"
	"mixdown/compositor"
	"mixdown/mixer"
	"mixdown/mixer/congestion"
)

// shownWidth and shownHeight are how large every rung is shown in docs/rates.md.
const shownWidth, shownHeight = 480, 270

// rung codes the party as a tier does and returns the last picture as a client
// gets it. More pictures a second than the party has are left out, with their
// share of the bits.
func (p *party) rung(c *codec.Codec, spec mixer.TierSpec) (image.Image, error) {
	stride := max(1, int(math.Round(fps/spec.FPS)))
	pace := fps / float64(stride)
	enc, err := c.NewVideoEncoder(codec.VideoConfig{
		Width: spec.Width, Height: spec.Height, FPS: max(1, int(math.Round(pace))), MTU: spec.MTU,
		Bitrate: int(float64(spec.Bitrate) * min(1, pace/spec.FPS)),
	})
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	dec, err := c.NewVideoDecoder()
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	picture := compositor.NewPicture(spec.Width, spec.Height, compositor.YUV{}, nil)
	defer picture.Close()
	places := compositor.Grid(people, spec.Width, spec.Height)
	policy := spec.Refresh(pace, spec.Bitrate)
	shown, faces := make([]uint64, people), make([]mixer.Face, people)
	var view *codec.Frame
	for n := 0; n*stride < p.frames; n++ {
		shots := p.shots(nil, n*stride)
		for k := range shots {
			faces[k] = mixer.Face{Speaks: shots[k].Speaking, Share: 1. / people}
		}
		for k, due := range policy.Due(nil, uint64(n), faces) {
			if due || n == 0 {
				shown[k] = shots[k].Seq
			}
			shots[k].Seq = shown[k]
		}
		if _, err := picture.Compose(places, shots); err != nil {
			return nil, err
		}
		u, err := enc.Encode(picture.Frame(), time.Duration(n*stride)*time.Second/fps, n == 0)
		if err != nil {
			return nil, err
		}
		if len(u.Data) == 0 {
			continue
		}
		u.Codec = c
		f, err := dec.Decode(u)
		if err != nil {
			return nil, err
		}
		if view != nil {
			view.Release()
		}
		view = f
	}
	if view == nil {
		return nil, fmt.Errorf("tier %s: no picture", spec.Name)
	}
	defer view.Release()
	return yuv.ToImage(view)
}

// writeRates writes docs/rates.md and a picture of each rung.
func (p *party) writeRates(c *codec.Codec, docs string) error {
	ladder, tones := mixer.DefaultConfig().Ladder, mixer.DefaultTones()
	var b strings.Builder
	b.WriteString(ratesHead)
	b.WriteString("| tier | picture | a second | silent people's tiles | bit/s of pictures | with headers and sound |\n|---|---|---:|---:|---:|---:|\n")
	for _, t := range ladder {
		silent := "all"
		if every := t.Refresh(t.FPS, t.Bitrate).Silent; every > 1 {
			silent = fmt.Sprintf("%.1f/s", t.FPS/float64(every))
		}
		sound := tones[0]
		if t.Bitrate < 200_000 {
			sound = tones[len(tones)-2]
		}
		wire := congestion.Tier{Bitrate: t.Bitrate, FPS: t.FPS, Payload: t.MTU}.Wire(0) + congestion.Tone{Bitrate: sound.Bitrate, Packet: sound.Packet}.Wire()
		fmt.Fprintf(&b, "| %s | %dx%d | %v | %s | %d 000 | %d kb/s |\n", t.Name, t.Width, t.Height, t.FPS, silent, t.Bitrate/1000, (wire+500)/1000)
	}
	last := tones[len(tones)-1]
	fmt.Fprintf(&b, "| sound alone | – | – | – | – | %d kb/s |\n", (congestion.Tone{Bitrate: last.Bitrate, Packet: last.Packet}.Wire()+500)/1000)
	low := tones[len(tones)-2]
	fmt.Fprintf(&b, ratesText, tones[0].Bitrate/1000, tones[0].Packet.Milliseconds(), low.Bitrate/1000, low.Packet.Milliseconds())
	for _, t := range ladder {
		img, err := p.rung(c, t)
		if err != nil {
			return err
		}
		small := image.NewRGBA(image.Rect(0, 0, shownWidth, shownHeight))
		draw.CatmullRom.Scale(small, small.Bounds(), img, img.Bounds(), draw.Src, nil)
		name := "rate-" + t.Name + ".jpg"
		if err := writeJPEG(filepath.Join(docs, name), small); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n**%s**, %d kb/s\n\n![nine people at %s](%s)\n", t.Name, t.Bitrate/1000, t.Name, name)
	}
	return os.WriteFile(filepath.Join(docs, "rates.md"), []byte(b.String()), 0o644)
}

func writeJPEG(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = jpeg.Encode(f, img, &jpeg.Options{Quality: 75})
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

const ratesHead = `# What a client gets at each rate

Written by ` + "`make attention`" + `, for operators. A room has a ladder of tiers (` + "`ladder`" + ` in the configuration; this is the one it has by itself).
Each client is on the tier that it asks for, or with ` + "`rtc.congestion_control`" + ` on the best one below it that its link carries. Sound goes first:
where pictures leave it no room, it goes alone.

`

const ratesText = `
Silent people's tiles are drawn as often as that, in turn, and the speaker's in every picture; newcomers and changed layouts show at once.
What that brings is in [attention.md](attention.md); the key ` + "`silent`" + ` of a tier sets it. The last column is a rough need, with sound
of %d kb/s in packets of %d ms beside the upper tiers and of %d kb/s in packets of %d ms beside the others.

## How a client comes to its tier

- ` + "`?tier=NAME`" + ` when joining by WHIP or WHEP; ` + "`PUT /api/v1/rooms/{room}/participants/{id}/tier`" + ` and {type: tier} on the control WebSocket later.
- The join page: "Auto" is the first tier; "Low data" is the lowest one whose pictures still move (` + "`low_data`" + ` in the answer to a join). It
  holds the way up to little as well: sound of 16 kb/s in packets of 60 ms, next to nothing in silence, pictures of 80 kb/s at most.
- The last tier is there by name, and for links that carry no more.
- ` + "`sound`" + ` is the tier of no pictures, anywhere a tier is named: "Sound only" in the join page, which also takes it while it is in the
  background for more than 5 s.

## The way up

The server tells every sender the size, rate and bit rate its largest tile is worth (` + "`ask`" + ` in the room's state; REMB for who has no control
WebSocket). By how late sound comes it sees a queue on the sender's side, and tells what that way carries (` + "`ask.uplink`" + `). The page gives it to sound first:

| way up, about | sound | picture |
|---|---|---|
| over 150 kb/s | 32 kb/s, packets of 20 ms | as asked |
| 70 kb/s | 24 kb/s, 40 ms | what is left, 320x180 at 10 a second at most |
| 45 kb/s | 16 kb/s, 60 ms, next to nothing in silence | 160x90, 5 a second |
| less | 12 kb/s, 60 ms | paused, and the page says so; tried again after 10 s, then later and later. A way that takes long for the offer begins like that |

## Nine people on each rung

The last picture of 16 s in VP8, as it comes out of a client's decoder, all shown at one size; the one in the middle speaks.
`
