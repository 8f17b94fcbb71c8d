package main

import (
	"context"
	"fmt"
	"image"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
	"mixdown/codec/yuv"
	"mixdown/compositor"
	"mixdown/mixer"
)

// job is one way to code the party.
type job struct {
	codec         *codec.Codec
	width, height int
	bitrate       int
	layers        int
	attentive     bool // silent people's tiles less often, as a tier of that rate does
}

// outcome is what came of it.
type outcome struct {
	job
	every    int // pictures from one to the next of a silent tile
	kbps     float64
	dropped  int // pictures, by the encoder
	speaker  quality
	silent   quality // against what the camera sees at that moment
	sharp    quality // against what was drawn when it last was
	worstAge time.Duration
	encode   time.Duration // of computing, a picture
	last     image.Image
}

// quality is means over pictures.
type quality struct {
	psnr, ssim float64
	n          int
}

func (q *quality) add(a, b *codec.Frame) {
	q.psnr += min(codectest.PSNR(a, b), 60)
	q.ssim += codectest.SSIM(a, b)
	q.n++
}

func (q quality) mean() quality {
	n := float64(max(q.n, 1))
	return quality{q.psnr / n, q.ssim / n, q.n}
}

func (o outcome) String() string {
	return fmt.Sprintf("%s %dx%d %d kb/s, %d layers, silent every %d: speaker %.1f dB %.3f, silent %.1f dB %.3f (drawn %.1f dB), %.0f kb/s, %d dropped, oldest %.1f s, %.2f ms a picture",
		o.codec.Name, o.width, o.height, o.bitrate/1000, o.layers, o.every, o.speaker.psnr, o.speaker.ssim,
		o.silent.psnr, o.silent.ssim, o.sharp.psnr, o.kbps, o.dropped, o.worstAge.Seconds(), float64(o.encode.Microseconds())/1000)
}

// mtu is the payload that tiers of a rate have.
func mtu(bitrate int) int { return min(max(bitrate*60/1000/8, 300), 1160) }

// play codes the party, decodes it, and compares picture by picture: one that
// the encoder dropped leaves the one before it on show.
func (p *party) play(ctx context.Context, j job) (o outcome, err error) {
	o.job = j
	encoder, err := j.codec.NewVideoEncoder(codec.VideoConfig{
		Width: j.width, Height: j.height, FPS: fps, Bitrate: j.bitrate, MTU: mtu(j.bitrate), TemporalLayers: j.layers,
	})
	if err != nil {
		return o, err
	}
	defer encoder.Close()
	decoder, err := j.codec.NewVideoDecoder()
	if err != nil {
		return o, err
	}
	defer decoder.Close()

	var policy mixer.Refresh
	if j.attentive {
		policy = mixer.TierSpec{FPS: fps}.Refresh(fps, j.bitrate)
	}
	o.every = max(1, policy.Silent)
	places := compositor.Grid(people, j.width, j.height)
	sent := compositor.NewPicture(j.width, j.height, compositor.YUV{}, nil)
	defer sent.Close()
	seen := compositor.NewPicture(j.width, j.height, compositor.YUV{}, nil)
	defer seen.Close()

	var view *codec.Frame // what is on show
	defer func() {
		if view != nil {
			view.Release()
		}
	}()
	var shots []compositor.Shot
	faces, shown := make([]mixer.Face, people), make([]uint64, people)
	var due []bool
	bytes := 0
	for i := range p.frames {
		if err := ctx.Err(); err != nil {
			return o, err
		}
		shots = p.shots(shots, i)
		if _, err := seen.Compose(places, shots); err != nil {
			return o, err
		}
		for k := range faces {
			faces[k] = mixer.Face{Speaks: shots[k].Speaking, Share: 1. / people}
		}
		due = policy.Due(due, uint64(i), faces)
		for k := range shots {
			if due[k] || i == 0 {
				shown[k] = shots[k].Seq
			}
			shots[k].Seq = shown[k]
		}
		if _, err := sent.Compose(places, shots); err != nil {
			return o, err
		}
		began := time.Now()
		unit, err := encoder.Encode(sent.Frame(), time.Duration(i)*time.Second/fps, i == 0)
		o.encode += time.Since(began)
		if err != nil {
			return o, err
		}
		if len(unit.Data) == 0 {
			o.dropped++
		} else {
			unit.Codec = j.codec
			f, err := decoder.Decode(unit)
			if err != nil {
				return o, fmt.Errorf("picture %d: %w", i, err)
			}
			if f != nil {
				if view != nil {
					view.Release()
				}
				view = f
			}
		}
		if i < p.settled || view == nil {
			continue
		}
		bytes += len(unit.Data)
		if i%p.sample != 0 {
			continue
		}
		for k, place := range places {
			if shots[k].Speaking {
				o.speaker.add(part(view, place), part(seen.Frame(), place))
				continue
			}
			o.silent.add(part(view, place), part(seen.Frame(), place))
			o.sharp.add(part(view, place), part(sent.Frame(), place))
			o.worstAge = max(o.worstAge, time.Duration(uint64(i+1)-shown[k])*time.Second/fps)
		}
	}
	if view == nil {
		return o, fmt.Errorf("%s at %d bit/s: no picture came out", j.codec.Name, j.bitrate)
	}
	o.speaker, o.silent, o.sharp = o.speaker.mean(), o.silent.mean(), o.sharp.mean()
	o.kbps = float64(bytes*8*fps) / float64(p.frames-p.settled) / 1000
	o.encode /= time.Duration(p.frames)
	o.last, err = yuv.ToImage(view)
	return o, err
}

// part is a view of a place of a frame, to be read only.
func part(f *codec.Frame, r compositor.Rect) *codec.Frame {
	return &codec.Frame{
		Width: r.W, Height: r.H, YStride: f.YStride, UVStride: f.UVStride,
		Y: f.Y[r.Y*f.YStride+r.X:], U: f.U[r.Y/2*f.UVStride+r.X/2:], V: f.V[r.Y/2*f.UVStride+r.X/2:],
	}
}
