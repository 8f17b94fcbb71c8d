package stream

import (
	"time"

	"github.com/pion/rtcp"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/jitter"
)

// Follow returns the shift of the codec's own counters with which p, the first
// packet of another encoder, continues a stream whose last packet went out shifted by
// before. scratch is room for a payload.
func Follow(last *mixer.Packet, before codec.Counters, p *mixer.Packet, scratch []byte) codec.Counters {
	if last.Codec != p.Codec || p.Codec.Payload == nil || len(last.Payload) > len(scratch) {
		return 0
	}
	buf := scratch[:copy(scratch, last.Payload)]
	if before != 0 {
		p.Codec.Payload.Shift(buf, before)
	}
	return p.Codec.Payload.Follow(p.Codec.Payload.Counters(buf), p.Codec.Payload.Counters(p.Payload))
}

// SenderReport is the one of a stream at now, whose last packet that was (RFC
// 3550, section 6.4.1).
func SenderReport(ssrc uint32, last *mixer.Packet, packets, octets uint32, now time.Time) *rtcp.SenderReport {
	since := now.Sub(last.Time)
	ticks := int64(since) / 1000 * int64(last.Codec.ClockRate) / 1_000_000
	return &rtcp.SenderReport{
		SSRC: ssrc, NTPTime: jitter.ToNTP(now), RTPTime: last.Timestamp + uint32(ticks),
		PacketCount: packets, OctetCount: octets,
	}
}
