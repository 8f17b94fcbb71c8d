package codectest

import (
	"bytes"
	"math"
	"testing"
	"time"

	"mixdown/codec"
)

// Video runs the whole suite over one row of pictures. Powers that the row does
// not have are skipped.
func Video(t *testing.T, row *codec.Codec) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *codec.Codec)
	}{
		{"row", videoRow},
		{"round trip", videoRoundTrip},
		{"keyframes", videoKeyframes},
		{"keyframe bound", videoKeyframeBound},
		{"live bit rate", videoBitrate},
		{"temporal layers", videoLayers},
		{"loop filter", videoFilter},
		{"sizes", videoSizes},
		{"strides", videoStrides},
		{"garbage", videoGarbage},
		{"refusals", videoRefusals},
		{"close", videoClose},
		{"memory", videoMemory},
		{"counters", videoCounters},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := codec.LiveFrames()
			c.run(t, row)
			if n := codec.LiveFrames(); n != live {
				t.Errorf("%d frames are still held, were %d", n, live)
			}
		})
	}
}

// small is what most of the suite codes: neither side is a multiple of 16.
func small() codec.VideoConfig {
	return codec.VideoConfig{Width: 330, Height: 186, FPS: 25, Bitrate: 400_000}
}

// at is frame i's time.
func at(cfg codec.VideoConfig, i int) time.Duration {
	return time.Duration(i) * time.Second / time.Duration(cfg.FPS)
}

func newEncoder(t *testing.T, row *codec.Codec, cfg codec.VideoConfig) codec.VideoEncoder {
	t.Helper()
	e, err := row.NewVideoEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeTwice(t, e) })
	return e
}

func newDecoder(t *testing.T, row *codec.Codec) codec.VideoDecoder {
	t.Helper()
	d, err := row.NewVideoDecoder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeTwice(t, d) })
	return d
}

func closeTwice(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// encode codes moving picture i and gives the unit bytes of its own.
func encode(t *testing.T, e codec.VideoEncoder, cfg codec.VideoConfig, i int, key bool) codec.Unit {
	t.Helper()
	f := MovingPicture(cfg.Width, cfg.Height, i)
	defer f.Release()
	u, err := e.Encode(f, at(cfg, i), key)
	if err != nil {
		t.Fatalf("picture %d: %v", i, err)
	}
	u.Data = bytes.Clone(u.Data)
	return u
}

// check decodes u, compares it with moving picture i and returns the PSNR.
func check(t *testing.T, d codec.VideoDecoder, cfg codec.VideoConfig, u codec.Unit, i int) float64 {
	t.Helper()
	got, err := d.Decode(u)
	if err != nil {
		t.Fatalf("picture %d: %v", i, err)
	}
	if got == nil {
		t.Fatalf("picture %d did not come out at once", i)
	}
	defer got.Release()
	if got.Width != cfg.Width || got.Height != cfg.Height {
		t.Fatalf("picture %d is %dx%d, want %dx%d", i, got.Width, got.Height, cfg.Width, cfg.Height)
	}
	if got.FullRange {
		t.Errorf("picture %d became full range", i)
	}
	if got.Timestamp != u.Timestamp || !got.Arrived.Equal(u.Arrived) || !got.Captured.Equal(u.Captured) {
		t.Errorf("picture %d lost its times", i)
	}
	want := MovingPicture(cfg.Width, cfg.Height, i)
	defer want.Release()
	return PSNR(want, got)
}

func videoRow(t *testing.T, row *codec.Codec) {
	if row.Kind != codec.Video || row.Name == "" || row.ClockRate != 90000 || row.Channels != 0 {
		t.Errorf("row is %+v", row)
	}
	if row.Payload == nil || row.NewVideoDecoder == nil || row.NewVideoEncoder == nil {
		t.Error("row lacks a payload format, a decoder or an encoder")
	}
}

func videoRoundTrip(t *testing.T, row *codec.Codec) {
	const n, floor, worst = 50, 32, 20 // dB: mean, and of any picture
	for _, mtu := range []int{100, 300, 1200} {
		cfg := small()
		e, d := newEncoder(t, row, cfg), newDecoder(t, row)
		p, dep := row.Payload.NewPacketizer(), row.Payload.NewDepacketizer()
		arrived := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
		frames, sum := 0, 0.0
		for i := range n {
			u := encode(t, e, cfg, i, false)
			if want := uint32(at(cfg, i) * time.Duration(row.ClockRate) / time.Second); u.Timestamp != want {
				t.Errorf("picture %d has timestamp %d, want %d", i, u.Timestamp, want)
			}
			if len(u.Data) == 0 {
				continue
			}
			u.Data = overWire(t, p, dep, u, mtu)
			u.Arrived, u.Captured = arrived.Add(at(cfg, i)), arrived
			psnr := check(t, d, cfg, u, i)
			if psnr < worst {
				t.Errorf("mtu %d: picture %d has %.1f dB, want %d", mtu, i, psnr, worst)
			}
			frames++
			sum += psnr
		}
		if frames < n-1 {
			t.Errorf("mtu %d: %d of %d pictures came through at a rate that has room for all", mtu, frames, n)
		}
		if mean := sum / float64(frames); mean < floor {
			t.Errorf("mtu %d: mean PSNR %.1f dB, want %d", mtu, mean, floor)
		}
	}
}

// overWire packetizes u, looks at every payload and puts the unit together
// again.
func overWire(t *testing.T, p codec.Packetizer, dep codec.Depacketizer, u codec.Unit, mtu int) []byte {
	t.Helper()
	payloads, err := p.Packetize(u, mtu)
	if err != nil {
		t.Fatal(err)
	}
	if most := len(u.Data)/(mtu/2) + 1; len(payloads) == 0 || len(payloads) > most {
		t.Errorf("%d bytes became %d payloads of %d", len(u.Data), len(payloads), mtu)
	}
	var unit []byte
	for i, b := range payloads {
		if len(b) > mtu {
			t.Errorf("payload of %d bytes, asked for %d", len(b), mtu)
		}
		begins := dep.Begins(b)
		if i == 0 && !begins {
			t.Errorf("the first of %d payloads begins no unit", len(payloads))
		}
		// H.264 cannot tell the first slice behind parameter sets from one that is
		// behind nothing; all else can.
		if begins && i > 0 && !(i == 1 && u.Keyframe) {
			t.Errorf("payload %d of %d begins a unit", i, len(payloads))
		}
		if unit, err = dep.Append(unit, b); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(unit, u.Data) {
		t.Fatalf("unit of %d bytes came back as %d other bytes", len(u.Data), len(unit))
	}
	if key := dep.Keyframe(unit); key != u.Keyframe {
		t.Errorf("keyframe is read as %v, the encoder said %v", key, u.Keyframe)
	}
	return unit
}

func videoKeyframes(t *testing.T, row *codec.Codec) {
	cfg := small()
	e := newEncoder(t, row, cfg)
	asked := map[int]bool{0: true, 7: true, 8: true, 30: true}
	for i := range 60 {
		// The first is a keyframe without being asked for.
		if u := encode(t, e, cfg, i, asked[i] && i > 0); u.Keyframe != asked[i] {
			t.Errorf("picture %d: keyframe %v, asked for %v", i, u.Keyframe, asked[i])
		}
	}
	cfg.KeyInterval = 10
	e = newEncoder(t, row, cfg)
	for i, last := 0, 0; i < 45; i++ {
		u := encode(t, e, cfg, i, i == 14)
		if u.Keyframe {
			last = i
		}
		if i-last >= cfg.KeyInterval {
			t.Errorf("picture %d is %d after the last keyframe, want at most %d", i, i-last, cfg.KeyInterval-1)
		}
		if i == 14 && !u.Keyframe {
			t.Error("a keyframe between the regular ones was not obeyed")
		}
	}
}

// videoKeyframeBound asks for a keyframe in a stream that has settled.
func videoKeyframeBound(t *testing.T, row *codec.Codec) {
	size := func(bound float64) int {
		cfg := small()
		cfg.Bitrate, cfg.MaxKeyframe = 200_000, bound
		e := newEncoder(t, row, cfg)
		for i := range 50 {
			encode(t, e, cfg, i, false)
		}
		return len(encode(t, e, cfg, 50, true).Data)
	}
	bounded, free := size(2), size(0)
	if bounded >= free {
		t.Errorf("a bounded keyframe is %d bytes, a free one %d", bounded, free)
	}
	// The quantizer is estimated from the last keyframe, so leave it 50 %.
	if most := 3 * 200_000 / 8 / small().FPS; bounded > most {
		t.Errorf("a keyframe of at most 2 average frames is %d bytes, want at most %d", bounded, most)
	}
}

func videoBitrate(t *testing.T, row *codec.Codec) {
	const seconds, tolerance = 4, 0.2
	cfg := codec.VideoConfig{Width: 640, Height: 360, FPS: 25, Bitrate: 400_000, MaxKeyframe: 4}
	e := newEncoder(t, row, cfg)
	s, ok := e.(codec.BitrateSetter)
	if !ok {
		t.Skip("the encoder's rate is fixed")
	}
	i := 0
	for _, bps := range []int{400_000, 120_000, 900_000, 250_000} {
		if err := s.SetBitrate(bps); err != nil {
			t.Fatal(err)
		}
		size := 0
		for n := range seconds * cfg.FPS {
			u := encode(t, e, cfg, i, false)
			if n >= cfg.FPS { // a second to settle
				size += len(u.Data)
			}
			if u.Keyframe && i > 0 {
				t.Errorf("picture %d is a keyframe: the change of rate cost one", i)
			}
			i++
		}
		got := float64(size*8) / (seconds - 1)
		if math.Abs(got-float64(bps)) > tolerance*float64(bps) {
			t.Errorf("asked for %d bit/s, got %.0f", bps, got)
		}
	}
}

// videoLayers drops all upper layers before the decoder: the base must come out
// exactly as with them.
func videoLayers(t *testing.T, row *codec.Codec) {
	for _, layers := range []int{2, 3} {
		cfg := small()
		cfg.TemporalLayers = layers
		e, err := row.NewVideoEncoder(cfg)
		if err != nil {
			t.Skipf("none: %v", err)
		}
		t.Cleanup(func() { closeTwice(t, e) })
		all, base := newDecoder(t, row), newDecoder(t, row)
		p, dep := row.Payload.NewPacketizer(), row.Payload.NewDepacketizer()
		var count [4]int
		for i := range 48 {
			u := encode(t, e, cfg, i, i == 21)
			if len(u.Data) == 0 {
				continue
			}
			u.Data = overWire(t, p, dep, u, 1200)
			if u.Keyframe && u.Temporal != 0 {
				t.Errorf("picture %d is a keyframe in layer %d", i, u.Temporal)
			}
			count[u.Temporal]++
			full := check(t, all, cfg, u, i)
			if u.Temporal > 0 {
				continue
			}
			if alone := check(t, base, cfg, u, i); alone != full {
				t.Errorf("%d layers: picture %d has %.2f dB without the upper ones, %.2f with them", layers, i, alone, full)
			}
		}
		if total := 48 >> (layers - 1); count[0] < total-2 || count[0] > total+2 || count[layers-1] < 20 {
			t.Errorf("%d layers: pictures per layer are %v", layers, count)
		}
	}
	cfg := small()
	cfg.TemporalLayers = 9
	if e, err := row.NewVideoEncoder(cfg); err == nil {
		e.Close()
		t.Error("nine temporal layers are accepted")
	}
}

// videoFilter leaves out the loop filter, if the decoder can, beside a decoder that
// does not: keyframes must be the same, others nearly, and what follows the next
// keyframe once more the same.
func videoFilter(t *testing.T, row *codec.Codec) {
	const floor, off, key, on, end = 36, 5, 30, 40, 60 // dB; pictures
	cfg := small()
	e, right, d := newEncoder(t, row, cfg), newDecoder(t, row), newDecoder(t, row)
	s, ok := d.(codec.FilterSkipper)
	if !ok {
		t.Skip("the decoder always filters")
	}
	can, worst, same := false, 100., 0
	for i := range end {
		u := encode(t, e, cfg, i, i == key || i == on)
		if len(u.Data) == 0 {
			continue
		}
		switch i {
		case off:
			can = s.SkipFilter(true)
		case on - 3: // goes on with what has drifted
			if !s.SkipFilter(false) {
				t.Error("a decoder cannot filter")
			}
		}
		want, err := right.Decode(u)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Decode(u)
		if err != nil {
			want.Release()
			t.Fatal(err)
		}
		db := PSNR(want, got)
		want.Release()
		got.Release()
		exact := math.IsInf(db, 1)
		switch whole := !can || i < off || i == key || i >= on; {
		case whole && !exact:
			t.Errorf("picture %d differs, %.1f dB", i, db)
		case !whole && exact:
			same++
		}
		worst = min(worst, db)
	}
	if can && same > 2 {
		t.Errorf("%d pictures look as if they were filtered", same)
	}
	if worst < floor {
		t.Errorf("without the filter down to %.1f dB, want %d", worst, floor)
	}
}

// videoSizes changes the size in mid-stream, at keyframes, with one decoder.
func videoSizes(t *testing.T, row *codec.Codec) {
	d := newDecoder(t, row)
	for _, s := range [][2]int{{320, 180}, {640, 360}, {180, 320}, {16, 16}, {2, 2}, {98, 426}, {1280, 720}} {
		cfg := small()
		cfg.Width, cfg.Height = s[0], s[1]
		cfg.Bitrate = 1_500_000
		e := newEncoder(t, row, cfg)
		var last float64
		for i := range 10 {
			if u := encode(t, e, cfg, i, false); len(u.Data) > 0 {
				last = check(t, d, cfg, u, i)
			}
		}
		if last < 28 {
			t.Errorf("%dx%d: %.1f dB after ten pictures, want 28", s[0], s[1], last)
		}
	}
}

// videoStrides codes a window of a larger picture, and then a picture in the
// decoder's own memory.
func videoStrides(t *testing.T, row *codec.Codec) {
	cfg := small()
	e, d := newEncoder(t, row, cfg), newDecoder(t, row)
	large := MovingPicture(2*cfg.Width, 2*cfg.Height, 0)
	defer large.Release()
	window := codec.WrapFrame(nil)
	defer window.Release()
	window.Width, window.Height = cfg.Width, cfg.Height
	window.YStride, window.UVStride = large.YStride, large.UVStride
	window.Y, window.U, window.V = large.Y[20*large.YStride+40:], large.U[10*large.UVStride+20:], large.V[10*large.UVStride+20:]
	want := window
	for i := range 6 {
		u, err := e.Encode(want, at(cfg, i), false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Decode(u)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Release()
		if i == 2 || i == 5 {
			if p := PSNR(want, got); p < 28 {
				t.Errorf("picture %d: %.1f dB, want 28", i, p)
			}
		}
		if i == 2 {
			want = got
		}
	}
}

func videoClose(t *testing.T, row *codec.Codec) {
	cfg := small()
	e, d := newEncoder(t, row, cfg), newDecoder(t, row)
	u := encode(t, e, cfg, 0, true)
	got, err := d.Decode(u)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	closeTwice(t, e)
	closeTwice(t, d)
	want := MovingPicture(cfg.Width, cfg.Height, 0)
	defer want.Release()
	if p := PSNR(want, got); p < 20 {
		t.Errorf("a frame that outlives its decoder has %.1f dB", p)
	}
	if _, err := e.Encode(want, at(cfg, 1), false); err == nil {
		t.Error("a closed encoder encodes")
	}
	if f, err := d.Decode(u); err == nil {
		f.Release()
		t.Error("a closed decoder decodes")
	}
	if s, ok := e.(codec.BitrateSetter); ok && s.SetBitrate(100_000) == nil {
		t.Error("a closed encoder takes a bit rate")
	}
}
