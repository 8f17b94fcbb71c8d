package webrtc

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v3"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/jitter"
	"mixdown/mixer/stream"
)

// track is the webrtc.TrackLocal behind which an outgoing stream writes. pion
// binds it while the answer is made.
type track struct {
	kind   webrtc.RTPCodecType
	stream string

	ssrc   uint32
	writer rtpWriter
}

// rtpWriter encrypts and sends one RTP packet; neither argument is kept.
type rtpWriter interface {
	WriteRTP(h *rtp.Header, payload []byte) (int, error)
}

// Bind implements webrtc.TrackLocal. Any of the agreed codecs may be sent
// later, so which of them it returns does not matter.
func (t *track) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	t.ssrc, t.writer = uint32(c.SSRC()), c.WriteStream()
	if p := c.CodecParameters(); len(p) > 0 {
		return p[0], nil
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("%w: %s", mixer.ErrNoCodec, t.kind)
}

// Unbind implements webrtc.TrackLocal.
func (t *track) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID implements webrtc.TrackLocal.
func (t *track) ID() string { return t.kind.String() }

// RID implements webrtc.TrackLocal.
func (t *track) RID() string { return "" }

// StreamID implements webrtc.TrackLocal: one for both tracks, so that
// browsers play them in sync.
func (t *track) StreamID() string { return t.stream }

// Kind implements webrtc.TrackLocal.
func (t *track) Kind() webrtc.RTPCodecType { return t.kind }

// outgoing is one RTP stream to one client: the room's packets with the
// client's own numbers. All encoders of a room share one line of timestamps,
// which begins anywhere (RFC 3550, section 5.1), so they go out as they are and
// mean the same to every client; sequence numbers are counted here; the codec's
// own counters are shifted after each move so that they go on (a copy is made
// only then). It is used by one goroutine.
type outgoing struct {
	writer                 rtpWriter
	ssrc                   uint32
	formats                []format
	packetsSent, bytesSent counter

	seq     uint16 // of the next packet
	shift   codec.Counters
	last    *mixer.Packet // the newest one sent
	key     time.Time     // when the newest keyframe went out
	packets uint32
	octets  uint32

	header    rtp.Header
	extension uint8   // id of the transport-wide number; 0: packets carry none
	wide      [2]byte // the number of the packet that is written
	scratch   [maxPayload]byte
	history   *history // nil: never sent again
	copies    copies
	comfort   uint8 // payload type of comfort noise; 0: not agreed

	later time.Duration // than it was reports are to say that it was made
	said  atomic.Int64  // ns; what the last one said
	since atomic.Uint32 // middle of the NTP time of the first one that said so; 0: all do

	quality quality
}

// maxPayload is the largest payload that can be rewritten; tiers cut far below.
const maxPayload = 1500

type counter interface{ Add(float64) }

// quality is what the client's receiver reports say (RFC 3550, section 6.4.1).
type quality struct {
	lost atomic.Uint32 // in 1/256
	rtt  atomic.Int64  // ns; 0 while unknown
}

func newOutgoing(w rtpWriter, ssrc uint32, formats []format, packets, bytes counter) *outgoing {
	return &outgoing{
		writer: w, ssrc: ssrc, formats: formats, packetsSent: packets, bytesSent: bytes,
		seq: uint16(rand.Uint32()),
	}
}

// takes reports whether the client can receive c.
func (o *outgoing) payloadType(c *codec.Codec) (uint8, bool) {
	for _, f := range o.formats {
		if f.codec == c {
			return f.pt, true
		}
	}
	return 0, false
}

// write sends p as the next packet of the stream.
func (o *outgoing) write(p *mixer.Packet, now time.Time) error {
	pt, ok := o.payloadType(p.Codec)
	if !ok {
		return fmt.Errorf("%w: %s", mixer.ErrNoCodec, p.Codec.Name)
	}
	if o.last != nil && o.last.Stream != p.Stream {
		o.move(p)
	}
	seq := o.seq
	o.seq++
	o.last = p
	if p.Keyframe {
		o.key = now
	}
	if o.history != nil {
		o.history.add(seq, p, o.shift, pt, now)
	}
	o.packets++
	o.octets += uint32(len(p.Payload))
	former, _ := o.copies.repeats(p)
	defer o.copies.keep(p)
	if former != nil {
		return o.transmit(seq, o.copies.pt, p.Timestamp, p.Marker, o.copies.pack(pt, p, former), false)
	}
	return o.send(seq, pt, p, o.shift)
}

// move finds the shift of the codec's counters from which the packets of p's
// encoder continue those of the last one.
func (o *outgoing) move(p *mixer.Packet) {
	o.shift = stream.Follow(o.last, o.shift, p, o.scratch[:])
}

func (o *outgoing) send(seq uint16, pt uint8, p *mixer.Packet, shift codec.Counters) error {
	payload := p.Payload
	if shift != 0 && len(payload) <= maxPayload {
		payload = o.scratch[:copy(o.scratch[:], payload)]
		p.Codec.Payload.Shift(payload, shift)
	}
	return o.transmit(seq, pt, p.Timestamp, p.Marker, payload, false)
}

func (o *outgoing) transmit(seq uint16, pt uint8, timestamp uint32, marker bool, payload []byte, padding bool) error {
	h := &o.header // keeps its extension
	h.Version, h.Padding, h.Marker, h.PayloadType = 2, padding, marker, pt
	h.SequenceNumber, h.Timestamp, h.SSRC = seq, timestamp, o.ssrc
	n, err := o.writer.WriteRTP(h, payload)
	o.packetsSent.Add(1)
	o.bytesSent.Add(float64(n))
	return err
}

// carry makes all packets carry a transport-wide number in the header extension
// of an id (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 2).
func (o *outgoing) carry(id uint8) {
	if o.header.SetExtension(id, o.wide[:]) == nil {
		o.extension = id
	}
}

// number sets the transport-wide number of the next packet.
func (o *outgoing) number(wide uint16) { binary.BigEndian.PutUint16(o.wide[:], wide) }

// pad sends a packet of nothing but n bytes of padding, at most 255. Receivers
// take it between pictures only. One that is lost is asked for like any other,
// because H.264 has no other numbers that tell a lost picture from it.
func (o *outgoing) pad(n int, now time.Time) error {
	if len(o.formats) == 0 {
		return nil
	}
	e := sent{pt: o.formats[0].pt, seq: o.seq, first: now, again: now, padding: true}
	if o.last != nil {
		e.timestamp = o.last.Timestamp
		if pt, ok := o.payloadType(o.last.Codec); ok {
			e.pt = pt
		}
	}
	o.seq++
	if o.history != nil {
		o.history.ring[e.seq%historySize] = e
	}
	return o.padding(&e, n)
}

// padding sends a packet of n bytes of it; the last one says how many they are
// (RFC 3550, section 5.1).
func (o *outgoing) padding(e *sent, n int) error {
	n = max(1, min(n, 255))
	payload := o.scratch[:n]
	clear(payload)
	payload[n-1] = byte(n)
	return o.transmit(e.seq, e.pt, e.timestamp, false, payload, true)
}

// again sends a packet of the history once more.
func (o *outgoing) again(e *sent) error {
	if e.padding {
		return o.padding(e, 1)
	}
	return o.send(e.seq, e.pt, e.packet, e.shift)
}

// resend sends an earlier packet again and reports whether it did.
func (o *outgoing) resend(seq uint16, now time.Time) bool {
	if o.history == nil {
		return false
	}
	wait := max(time.Duration(o.quality.rtt.Load())/2, minResend)
	e := o.history.take(seq, wait, now)
	return e != nil && o.again(e) == nil
}

// past reports whether any of the packets that a client misses is too old to be
// sent again, and no keyframe that has just gone out makes up for it.
func (o *outgoing) past(seqs []uint16, age time.Duration, now time.Time) bool {
	if o.history == nil || now.Sub(o.key) < age {
		return false
	}
	return slices.ContainsFunc(seqs, func(q uint16) bool {
		e := o.history.find(q)
		return e == nil || now.Sub(e.first) > age
	})
}

// report returns a sender report for now (RFC 3550, section 6.4.1), nil before
// the first packet. Sound and pictures use the same clock: that is lip-sync.
func (o *outgoing) report(now time.Time) *rtcp.SenderReport {
	if o.last == nil {
		return nil
	}
	r := stream.SenderReport(o.ssrc, o.last, o.packets, o.octets, now)
	r.NTPTime = jitter.ToNTP(now.Add(o.later))
	if int64(o.later) != o.said.Load() {
		o.since.Store(uint32(r.NTPTime >> 16))
		o.said.Store(int64(o.later))
	}
	return r
}

// received takes the client's report on this stream.
func (o *outgoing) received(r rtcp.ReceptionReport, now time.Time) {
	o.quality.lost.Store(uint32(r.FractionLost))
	if since := o.since.Load(); r.LastSenderReport == 0 || since != 0 && int32(r.LastSenderReport-since) < 0 {
		return
	}
	now = now.Add(time.Duration(o.said.Load())) // as the report's time was
	// RFC 3550, section 6.4.1, in units of 1/65536 s, modulo 2^32.
	rtt := int32(uint32(jitter.ToNTP(now)>>16) - r.LastSenderReport - r.Delay)
	if rtt >= 0 {
		o.quality.rtt.Store(max(1, int64(rtt)*int64(time.Second)>>16))
	}
}
