package load

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// hostileKind is one way to be a nuisance. run goes on until ctx ends.
type hostileKind struct {
	name, does string
	run        func(ctx context.Context, a *attack) error
}

var hostileKinds = []hostileKind{
	{"truncated", "units that end early, in all codecs", truncated},
	{"contradictory", "headers that disagree with what follows, one codec in another's payload type", contradictory},
	{"huge", "pictures of up to 16383x16383, and such as are 16382 wide", huge},
	{"tiny", "pictures of 1x1", tiny},
	{"resize", "another size with every frame", resize},
	{"bomb", "units of a few bytes that decode to the largest picture allowed, 60 a second", bomb},
	{"timestamps", "random RTP timestamps and sender reports", timestamps},
	{"ssrcs", "a new SSRC with every packet, 1000 a second", ssrcs},
	{"garbage", "10,000 packets a second of noise: RTP, RTCP and neither", garbage},
	{"keyframes", "nothing but keyframes, 240 a second", keyframes},
	{"opus", "noise as Opus and as redundant sound, always the loudest", opusNoise},
	{"feedback", "NACKs, keyframe requests and reports that lie, 2000 a second", feedback},
	{"stun", "5000 connectivity checks a second, from 200 addresses", stunFlood},
}

// ticks25 is a frame's time at 25 fps on the clock of 90 kHz.
const ticks25 = 3600

// turn is the payload type of a codec whose turn it is, a second each at 25 fps.
func turn(i int) (pt uint8, name string) {
	p := payloads[i/25%len(payloads)]
	return p.pt, p.name
}

func truncated(ctx context.Context, a *attack) error {
	return a.every(ctx, 25, func(i int) error {
		pt, name := turn(i)
		clip, err := a.media.pictures(name, 320, 180, 25, false)
		if err != nil {
			return err
		}
		p := clip[i%len(clip)]
		ts := uint32(i * ticks25)
		if rand.IntN(2) == 0 {
			p.Data = p.Data[:1+rand.IntN(len(p.Data))]
			return a.picture(pt, ts, p)
		}
		cut, err := a.cut(pt, p)
		if err != nil {
			return err
		}
		last := cut[len(cut)-1]
		cut[len(cut)-1] = last[:rand.IntN(len(last))]
		for k, b := range cut {
			if err := a.rtp(a.video, pt, ts, k == len(cut)-1, b); err != nil {
				return err
			}
		}
		return nil
	})
}

func contradictory(ctx context.Context, a *attack) error {
	return a.every(ctx, 50, func(i int) error {
		pt, name := turn(i)
		clip, err := a.media.pictures(name, 320, 180, 25, false)
		if err != nil {
			return err
		}
		// Keyframes often, some of them good, so that decoders see the rest.
		how, p := rand.IntN(7), clip[i%len(clip)]
		if rand.IntN(3) == 0 {
			p = clip[0]
		}
		cut, err := a.cut(pt, p)
		if err != nil {
			return err
		}
		ts, said := uint32(i*ticks25/2), pt
		for k, b := range cut {
			marker := k == len(cut)-1
			switch how {
			case 0: // another codec's
				said = payloads[rand.IntN(len(payloads))].pt
			case 1: // descriptor, or the header behind it
				for range 3 {
					b[rand.IntN(min(len(b), 12))] ^= 1 << rand.IntN(8)
				}
			case 2: // units that begin and end anywhere
				marker = rand.IntN(2) == 0
			case 3: // the same number again, with something else in it
				a.seq[0]--
			case 4: // what says that it is a keyframe and is none
				if len(b) > 1 {
					b[1] &^= 1
				}
			}
			if err := a.rtp(a.video, said, ts, marker, b); err != nil {
				return err
			}
		}
		return nil
	})
}

func huge(ctx context.Context, a *attack) error {
	small, err := a.media.pictures("VP8", 64, 64, 1, true)
	if err != nil {
		return err
	}
	units := []struct {
		pt uint8
		p  Picture
	}{
		{payloadVP8, resized(small[0], 16383, 16383)}, {payloadVP8, resized(small[0], 16383, 576)},
		{payloadVP8, resized(small[0], 1, 16383)}, {payloadVP8, resized(small[0], 0, 0)},
	}
	for _, f := range payloads {
		wide, err := a.media.pictures(f.name, 16382, 16, 1, true)
		if err != nil {
			continue // not all encoders go so far
		}
		units = append(units, struct {
			pt uint8
			p  Picture
		}{f.pt, wide[0]})
	}
	for _, name := range []string{"H264", "VP9"} {
		square, err := a.media.pictures(name, 4096, 4096, 1, true)
		if err != nil {
			continue
		}
		pt := uint8(payloadH264)
		if name == "VP9" {
			pt = payloadVP9
		}
		units = append(units, struct {
			pt uint8
			p  Picture
		}{pt, square[0]})
	}
	return a.every(ctx, 25, func(i int) error {
		u := units[i/5%len(units)]
		return a.picture(u.pt, uint32(i*ticks25), u.p)
	})
}

func tiny(ctx context.Context, a *attack) error {
	block, err := a.media.pictures("VP8", 16, 16, 1, false)
	if err != nil {
		return err
	}
	sizes := [][2]int{{1, 1}, {1, 16}, {16, 1}, {2, 2}, {3, 1}, {15, 15}}
	return a.every(ctx, 25, func(i int) error {
		s := sizes[i/10%len(sizes)]
		return a.picture(payloadVP8, uint32(i*ticks25), resized(block[0], s[0], s[1]))
	})
}

func resize(ctx context.Context, a *attack) error {
	var units []Picture
	for _, s := range [][2]int{{160, 96}, {320, 176}, {640, 368}, {1280, 720}, {720, 1280}, {48, 480}, {480, 48}, {1920, 1088}} {
		p, err := a.media.pictures("VP8", s[0], s[1], 1, false)
		if err != nil {
			return err
		}
		units = append(units, p[0])
		for range 4 { // odd ones of as many macroblocks
			units = append(units, resized(p[0], s[0]-rand.IntN(16), s[1]-rand.IntN(16)))
		}
	}
	return a.every(ctx, 30, func(i int) error {
		return a.picture(payloadVP8, uint32(i*3000), units[rand.IntN(len(units))])
	})
}

// bombs are as large as DefaultLimits lets through.
const bombWidth, bombHeight = 4096, 2304

func bomb(ctx context.Context, a *attack) error {
	return a.every(ctx, 60, func(i int) error {
		f := payloads[i/120%len(payloads)]
		clip, err := a.media.pictures(f.name, bombWidth, bombHeight, 4, true)
		if err != nil {
			return err
		}
		return a.picture(f.pt, uint32(i*1500), clip[i%len(clip)])
	})
}

func timestamps(ctx context.Context, a *attack) error {
	clip, err := a.media.pictures("VP8", 320, 180, 25, false)
	if err != nil {
		return err
	}
	silence := []byte{0xf8, 0xff, 0xfe} // 20 ms of CELT that says nothing
	wild := func(i int, step uint32) uint32 {
		switch i / 50 % 4 {
		case 0:
			return rand.Uint32()
		case 1: // to and fro
			return uint32(i)*step + uint32(i%2)<<31
		case 2: // stands
			return 7
		}
		return uint32(i) * step * 1000 // much too fast
	}
	return a.every(ctx, 75, func(i int) error {
		if i%3 == 0 {
			n := i / 3
			if err := a.picture(payloadVP8, wild(n, ticks25), clip[n%len(clip)]); err != nil {
				return err
			}
			return a.rtcp(
				&rtcp.SenderReport{SSRC: a.video.ssrc, NTPTime: rand.Uint64(), RTPTime: rand.Uint32()},
				&rtcp.SenderReport{SSRC: a.audio.ssrc, NTPTime: rand.Uint64(), RTPTime: rand.Uint32()})
		}
		return a.rtp(a.audio, payloadOpus, wild(i*2/3, 960), false, silence)
	})
}

func ssrcs(ctx context.Context, a *attack) error {
	clip, err := a.media.pictures("VP8", 160, 96, 25, true)
	if err != nil {
		return err
	}
	return a.every(ctx, 1000, func(i int) error {
		ssrc := rand.Uint32()
		switch i % 4 {
		case 0:
			return a.rtcp(&rtcp.ReceiverReport{SSRC: ssrc})
		case 1: // about many streams at once
			about := make([]uint32, 100)
			for k := range about {
				about[k] = rand.Uint32()
			}
			return a.rtcp(&rtcp.ReceiverReport{SSRC: a.video.ssrc}, &rtcp.Goodbye{Sources: about[:31]},
				&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: a.video.ssrc, Bitrate: 1e6, SSRCs: about})
		}
		cut, err := a.cut(payloadVP8, clip[i%len(clip)])
		if err != nil {
			return err
		}
		return a.raw(a.video, rtp.Header{PayloadType: payloadVP8, SSRC: ssrc, SequenceNumber: uint16(i), Timestamp: uint32(i), Marker: true}, cut[0])
	})
}

func garbage(ctx context.Context, a *attack) error {
	send, _, err := a.wire()
	if err != nil {
		return err
	}
	return a.every(ctx, 10_000, func(i int) error {
		b := noise(1 + rand.IntN(1100))
		switch i % 10 {
		case 0: // sealed, and about what it likes
			b = append([]byte{0x80 | b[0]&31, 200 + b[0]&7, byte(len(b) / 4 >> 8), byte(len(b) / 4)}, b...)
			raw := rtcp.RawPacket(b[:len(b)&^3])
			_ = a.rtcp(&raw) // may be refused on this side
			return nil
		case 1: // not sealed
			return send(b)
		case 2: // RTP that nobody sealed
			b = append([]byte{0x80, payloadVP8, byte(i >> 8), byte(i), 0, 0, 0, 0, 1, 2, 3, 4}, b...)
			return send(b)
		case 3:
			return a.rtp(a.audio, uint8(b[0]&127), rand.Uint32(), false, b)
		}
		h := rtp.Header{PayloadType: payloads[i/1000%4].pt, SequenceNumber: uint16(rand.Uint32()), Timestamp: uint32(i / 10), Marker: b[0]&3 == 0, SSRC: a.video.ssrc}
		if i%10 > 6 { // in order, so that depacketizers see it
			a.seq[0]++
			h.SequenceNumber = a.seq[0]
		}
		return a.raw(a.video, h, b)
	})
}

func keyframes(ctx context.Context, a *attack) error {
	p, err := a.media.pictures("VP8", 1280, 720, 1, true)
	if err != nil {
		return err
	}
	return a.every(ctx, 240, func(i int) error {
		return a.picture(payloadVP8, uint32(i*375), p[0])
	})
}

func opusNoise(ctx context.Context, a *attack) error {
	level, err := (rtp.AudioLevelExtension{Level: 0, Voice: true}).Marshal()
	if err != nil {
		return err
	}
	return a.every(ctx, 500, func(i int) error {
		a.seq[1]++
		h := rtp.Header{PayloadType: payloadOpus, SequenceNumber: a.seq[1], Timestamp: uint32(i * 960), SSRC: a.audio.ssrc}
		for id := uint8(1); id < 5; id++ { // one of them is RFC 6464's
			if err := h.SetExtension(id, level); err != nil {
				return err
			}
		}
		n := 1 + rand.IntN(1150)
		if i%4 == 0 {
			h.PayloadType = payloadRED
		}
		if i%4 == 1 { // 120 ms, 48 frames of 2.5 ms (RFC 6716, section 3.2.5)
			return a.raw(a.audio, h, append([]byte{0xe7, 48}, noise(48)...))
		}
		return a.raw(a.audio, h, noise(n))
	})
}

func feedback(ctx context.Context, a *attack) error {
	var nacks []rtcp.NackPair
	for i := range 250 { // as many as a packet takes
		nacks = append(nacks, rtcp.NackPair{PacketID: uint16(17 * i), LostPackets: 0xffff})
	}
	began := time.Now()
	return a.every(ctx, 2000, func(i int) error {
		own, mix := a.video.ssrc, a.mix.Load()
		switch i % 6 {
		case 0, 1:
			for k := range nacks {
				nacks[k].PacketID += uint16(time.Since(began).Milliseconds())
			}
			return a.rtcp(&rtcp.TransportLayerNack{SenderSSRC: own, MediaSSRC: mix, Nacks: nacks})
		case 2:
			return a.rtcp(&rtcp.PictureLossIndication{SenderSSRC: own, MediaSSRC: mix})
		case 3:
			return a.rtcp(&rtcp.FullIntraRequest{SenderSSRC: own, FIR: []rtcp.FIREntry{{SSRC: mix, SequenceNumber: uint8(i)}}})
		case 4:
			return a.rtcp(&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: own, Bitrate: float32(rand.Uint32()), SSRCs: []uint32{mix}})
		}
		return a.rtcp(&rtcp.ReceiverReport{SSRC: own, Reports: []rtcp.ReceptionReport{{
			SSRC: mix, FractionLost: uint8(i), TotalLost: rand.Uint32() & 0x7fffff, LastSequenceNumber: rand.Uint32(),
			Jitter: rand.Uint32(), LastSenderReport: rand.Uint32(), Delay: rand.Uint32(),
		}}})
	})
}
