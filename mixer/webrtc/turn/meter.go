package turn

import "github.com/prometheus/client_golang/prometheus"

// meter is all that the server counts.
type meter struct {
	allocations *prometheus.GaugeVec // by transport
	connections prometheus.Gauge

	badRequest, badPeer, badQuota, badRate, badFrame prometheus.Counter
	in, out                                          prometheus.Counter // bytes
	dropRate, dropPictures, dropSounds, dropControl  prometheus.Counter
	dropStray                                        prometheus.Counter

	all []prometheus.Collector
}

func newMeter() *meter {
	m := new(meter)
	m.allocations = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "mixdown_turn_allocations", Help: "Relay addresses in use, by transport: udp or tcp (TLS included).",
	}, []string{"transport"})
	m.connections = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "mixdown_turn_connections", Help: "TURN connections over TCP and TLS.",
	})
	m.all = append(m.all, m.allocations, m.connections)
	vec := func(name, help, label string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mixdown_turn_" + name, Help: help}, []string{label})
		m.all = append(m.all, v)
		return v
	}
	refused := vec("refused_total", "What clients asked for and did not get. request: wrong or expired credentials, or nonsense; peer: an address that is not this server's media port; quota: too many allocations of a user; rate: too many logins from an address; frame: not TURN.", "reason")
	m.badRequest = refused.WithLabelValues("request")
	m.badPeer = refused.WithLabelValues("peer")
	m.badQuota = refused.WithLabelValues("quota")
	m.badRate = refused.WithLabelValues("rate")
	m.badFrame = refused.WithLabelValues("frame")
	bytes := vec("bytes_total", "Bytes relayed, without headers; in is from the client.", "direction")
	m.in, m.out = bytes.WithLabelValues("in"), bytes.WithLabelValues("out")
	drops := vec("drops_total", "What was not relayed. bitrate: packets beyond a user's quota; stray: packets to a relay address from elsewhere; the others as of mixdown_webrtc_drops_total.", "reason")
	m.dropRate = drops.WithLabelValues("bitrate")
	m.dropStray = drops.WithLabelValues("stray")
	m.dropPictures = drops.WithLabelValues("tcp_picture")
	m.dropSounds = drops.WithLabelValues("tcp_sound")
	m.dropControl = drops.WithLabelValues("tcp_control")
	return m
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.meter.all {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	for _, c := range s.meter.all {
		c.Collect(ch)
	}
}
