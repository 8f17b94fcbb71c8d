package rtp

import (
	"github.com/prometheus/client_golang/prometheus"

	"mixdown/codec"
)

// meter is all that the transport counts, of all its legs together.
type meter struct {
	legs                  prometheus.Gauge
	packets, bytes        [2][3]prometheus.Counter // in and out, by codec.Kind
	bad, limited, dropped prometheus.Counter
	keysIn, keysOut       prometheus.Counter
	floors, floorsBad     prometheus.Counter // messages of BFCP
	all                   []prometheus.Collector
}

func newMeter() *meter {
	m := new(meter)
	m.legs = prometheus.NewGauge(prometheus.GaugeOpts{Name: "mixdown_rtp_legs", Help: "Legs of plain RTP that have not ended."})
	m.all = append(m.all, m.legs)
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mixdown_rtp_" + name, Help: help}, labels)
		m.all = append(m.all, v)
		return v
	}
	packets := vec("packets_total", "RTP packets of legs.", "direction", "media")
	bytes := vec("bytes_total", "Bytes in RTP packets of legs without UDP and IP overhead.", "direction", "media")
	for i, direction := range []string{"in", "out"} {
		for _, k := range []codec.Kind{codec.Audio, codec.Video} {
			m.packets[i][k] = packets.WithLabelValues(direction, k.String())
			m.bytes[i][k] = bytes.WithLabelValues(direction, k.String())
		}
	}
	drops := vec("drops_total", "Packets of legs that were not taken or not sent, by reason.", "reason")
	m.bad = drops.WithLabelValues("bad")
	m.limited = drops.WithLabelValues("limit")
	m.dropped = drops.WithLabelValues("queue_full")
	keys := vec("keyframe_requests_total", "Keyframe requests by PLI or FIR.", "direction")
	floors := vec("floor_messages_total", "Messages of BFCP that came in: taken, or refused or not to be read.", "result")
	m.floors, m.floorsBad = floors.WithLabelValues("ok"), floors.WithLabelValues("bad")
	m.keysIn, m.keysOut = keys.WithLabelValues("in"), keys.WithLabelValues("out")
	return m
}

func (m *meter) in(k codec.Kind, n int) {
	m.packets[0][k].Inc()
	m.bytes[0][k].Add(float64(n))
}

func (m *meter) out(k codec.Kind, n int) {
	m.packets[1][k].Inc()
	m.bytes[1][k].Add(float64(n))
}

// Describe implements prometheus.Collector.
func (t *Transport) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range t.meter.all {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (t *Transport) Collect(ch chan<- prometheus.Metric) {
	for _, c := range t.meter.all {
		c.Collect(ch)
	}
}
