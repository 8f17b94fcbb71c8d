package mixer

import (
	"context"
	"fmt"
	"image"
	"time"

	"mixdown/compositor"
)

const snapshotWidth, snapshotHeight = 1280, 720

// snapshot draws the gallery as it is, or would be if somebody looked.
func (r *Room) snapshot(ctx context.Context) (image.Image, error) {
	started := time.Now()
	if err := r.do(func() { r.snapshots++; r.update() }); err != nil {
		return nil, err
	}
	defer r.do(func() { r.snapshots--; r.update() })
	var p *plan
	for waiting := true; waiting; {
		if err := r.do(func() {
			p = r.canvases[gallery].plan.Load()
			waiting = time.Since(started) < time.Second && !p.fresh(started)
		}); err != nil {
			return nil, err
		}
		if waiting {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	img, err := p.snapshot(snapshotWidth, snapshotHeight, time.Now(), r)
	if err != nil {
		return nil, fmt.Errorf("snapshot of room %q: %w", r.name, err)
	}
	return img, nil
}

// fresh reports whether everybody who sends pictures has one from after t.
func (p *plan) fresh(t time.Time) bool {
	for _, s := range p.seats {
		if s.pub == nil || s.pub.count.units.Load() == 0 || s.who.veiled() {
			continue
		}
		if _, _, at := s.pub.slot.size(); at.Before(t) {
			return false
		}
	}
	return true
}

// snapshot draws the plan once, at a size of its own.
func (p *plan) snapshot(width, height int, now time.Time, r *Room) (image.Image, error) {
	picture := compositor.NewPicture(width, height, r.server.scaler, r.server.text)
	defer picture.Close()
	shots := p.shoot(nil, now, &r.server.cfg)
	defer releaseShots(shots)
	_, err := picture.Compose(p.places(width, height), shots)
	if err != nil {
		return nil, err
	}
	return picture.Image()
}
