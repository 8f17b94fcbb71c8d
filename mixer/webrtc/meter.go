package webrtc

import "github.com/prometheus/client_golang/prometheus"

// meter is all that the transport counts, of all its peers together.
type meter struct {
	sessions *prometheus.GaugeVec // by kind

	in, out               traffic
	nacksIn, nacksOut     prometheus.Counter // sequence numbers asked for
	keysIn, keysOut       prometheus.Counter // PLI and FIR
	resent                prometheus.Counter
	dropQueue, dropKey    prometheus.Counter // pictures
	dropLink              prometheus.Counter // pictures that the client's link has no room for
	probes                prometheus.Counter // packets of padding
	forgets               prometheus.Counter // of comfort noise
	dropWrite             prometheus.Counter // packets
	dropAudio             prometheus.Counter // packets
	dropNACK              prometheus.Counter // sequence numbers that were not sent again
	dropPending           prometheus.Counter // units before the room took the source
	tcpPictures           prometheus.Counter // pictures, packets of sound, other messages: TCP was congested
	tcpSounds, tcpControl prometheus.Counter
	badDatagram           prometheus.Counter // neither STUN nor DTLS nor RTP (RFC 7983)
	badStranger           prometheus.Counter // from an address that no session talks with
	badSTUN, badSRTP      prometheus.Counter
	badRTP, badRTCP       prometheus.Counter
	badType, badStream    prometheus.Counter // payload type not negotiated; a further SSRC of one kind
	iceFailed, noConnect  prometheus.Counter
	limitPackets          prometheus.Counter // dropped by Limits
	limitChecks           prometheus.Counter
	limitFeedback         prometheus.Counter
	limitStreams          prometheus.Counter
	limitAddresses        prometheus.Counter

	dropSocket prometheus.Counter // datagrams that the kernel refused
	socketFull prometheus.Counter // times that the kernel's buffer was full and was waited for

	all []prometheus.Collector
}

// traffic counts RTP packets and bytes of one direction, by media.
type traffic struct {
	videoPackets, videoBytes prometheus.Counter
	audioPackets, audioBytes prometheus.Counter
}

func newMeter() *meter {
	m := new(meter)
	m.sessions = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "mixdown_webrtc_sessions", Help: "Sessions that have not ended, by kind: publish, receive or mix.",
	}, []string{"kind"})
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mixdown_webrtc_" + name, Help: help}, labels)
		m.all = append(m.all, v)
		return v
	}
	m.all = append(m.all, m.sessions)

	packets := vec("packets_total", "RTP packets, retransmissions included.", "direction", "media")
	bytes := vec("bytes_total", "Bytes in RTP packets without SRTP, UDP and IP overhead.", "direction", "media")
	for _, d := range []struct {
		name string
		t    *traffic
	}{{"in", &m.in}, {"out", &m.out}} {
		*d.t = traffic{
			videoPackets: packets.WithLabelValues(d.name, "video"), videoBytes: bytes.WithLabelValues(d.name, "video"),
			audioPackets: packets.WithLabelValues(d.name, "audio"), audioBytes: bytes.WithLabelValues(d.name, "audio"),
		}
	}
	nacks := vec("nacks_total", "Packets asked for again by NACK (RFC 4585).", "direction")
	m.nacksIn, m.nacksOut = nacks.WithLabelValues("in"), nacks.WithLabelValues("out")
	keys := vec("keyframe_requests_total", "Keyframe requests by PLI or FIR.", "direction")
	m.keysIn, m.keysOut = keys.WithLabelValues("in"), keys.WithLabelValues("out")
	m.resent = vec("retransmissions_total", "RTP packets sent again.").WithLabelValues()

	m.forgets = vec("forgotten_falls_total", "Times that a client was told to forget how late sound came, after its link fell.").WithLabelValues()
	m.probes = vec("probe_packets_total", "Packets of padding that measured what a client's link carries.").WithLabelValues()

	m.socketFull = vec("socket_full_total", "Times that sending waited because the kernel's buffer was full.").WithLabelValues()

	drops := vec("drops_total", "What was not sent or not taken, by reason.", "reason")
	m.dropQueue = drops.WithLabelValues("queue_full")
	m.dropKey = drops.WithLabelValues("waits_for_keyframe")
	m.dropLink = drops.WithLabelValues("link")
	m.dropWrite = drops.WithLabelValues("write")
	m.dropAudio = drops.WithLabelValues("audio_queue_full")
	m.dropSocket = drops.WithLabelValues("socket")
	m.dropNACK = drops.WithLabelValues("nack_limit")
	m.tcpPictures = drops.WithLabelValues("tcp_picture")
	m.tcpSounds = drops.WithLabelValues("tcp_sound")
	m.tcpControl = drops.WithLabelValues("tcp_control")
	m.dropPending = drops.WithLabelValues("before_publish")

	bad := vec("bad_packets_total", "Packets that could not be used, by reason.", "reason")
	m.badDatagram = bad.WithLabelValues("datagram")
	m.badStranger = bad.WithLabelValues("stranger")
	m.badSTUN = bad.WithLabelValues("stun")
	m.badSRTP = bad.WithLabelValues("srtp")
	m.badRTP = bad.WithLabelValues("rtp")
	m.badRTCP = bad.WithLabelValues("rtcp")
	m.badType = bad.WithLabelValues("payload_type")
	m.badStream = bad.WithLabelValues("ssrc")

	limited := vec("limited_total", "Packets dropped because their sender went beyond a limit, by limit.", "limit")
	m.limitPackets = limited.WithLabelValues("packets")
	m.limitChecks = limited.WithLabelValues("checks")
	m.limitFeedback = limited.WithLabelValues("feedback")
	m.limitStreams = limited.WithLabelValues("streams")
	m.limitAddresses = limited.WithLabelValues("addresses")

	failures := vec("failures_total", "Sessions that ended without being asked to, by reason.", "reason")
	m.iceFailed = failures.WithLabelValues("connection_failed")
	m.noConnect = failures.WithLabelValues("never_connected")
	return m
}

// What is known of each client's link, labelled by room, participant and session.
var (
	linkLabels   = []string{"room", "participant", "session"}
	linkEstimate = prometheus.NewDesc("mixdown_webrtc_link_estimate_bps", "What a client's link is known to carry, headers included, bit/s.", linkLabels, nil)
	linkLoss     = prometheus.NewDesc("mixdown_webrtc_link_loss", "Share of packets that a client's link lost lately.", linkLabels, nil)
	linkQueue    = prometheus.NewDesc("mixdown_webrtc_link_queue_seconds", "Queue that stands in a client's link.", linkLabels, nil)
	linkTier     = prometheus.NewDesc("mixdown_webrtc_link_tier", "Place in the ladder of the best tier that a client's link carries, 0 for the first; -1: sound only.", linkLabels, nil)
)

// collect gives what is known of the client's link, if anything is.
func (p *peer) collect(ch chan<- prometheus.Metric) {
	if p.sink == nil || p.sink.flow == nil {
		return
	}
	s := p.sink
	s.mu.Lock()
	governs, e, tier := s.flow.governs, s.flow.estimate, s.flow.choice.Tier
	s.mu.Unlock()
	if !governs {
		return
	}
	for _, m := range []struct {
		desc  *prometheus.Desc
		value float64
	}{
		{linkEstimate, float64(e.Rate)}, {linkLoss, e.Loss}, {linkQueue, e.Queue.Seconds()}, {linkTier, float64(tier)},
	} {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.value, p.session.Room, p.session.Identity.ID, p.id[:8])
	}
}

// Describe implements prometheus.Collector.
func (t *Transport) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range t.meter.all {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{linkEstimate, linkLoss, linkQueue, linkTier} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (t *Transport) Collect(ch chan<- prometheus.Metric) {
	for _, c := range t.meter.all {
		c.Collect(ch)
	}
	t.mu.Lock()
	peers := make([]*peer, 0, len(t.peers))
	for _, p := range t.peers {
		peers = append(peers, p)
	}
	t.mu.Unlock()
	for _, p := range peers {
		p.collect(ch)
	}
}
