package sip

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mixdown/mixer"
)

// counters are what an operator sees of calls.
type counters struct {
	messages    prometheus.Counter
	dropped     *prometheus.CounterVec
	refused     *prometheus.CounterVec
	answered    prometheus.Counter
	calls       *prometheus.CounterVec
	lengths     prometheus.Histogram
	keys        prometheus.Counter
	wrongPINs   prometheus.Counter
	dialRefused prometheus.Counter
	registered  atomic.Bool
}

var (
	liveDesc = prometheus.NewDesc("mixdown_sip_calls", "Calls that are.", nil, nil)
	bindDesc = prometheus.NewDesc("mixdown_sip_registered", "1 while registered at the configured registrar.", nil, nil)
	lostDesc = prometheus.NewDesc("mixdown_sip_records_lost_total", "Call records that could not be written.", nil, nil)
	connDesc = prometheus.NewDesc("mixdown_sip_connections", "TCP, TLS and WebSocket connections.", nil, nil)
)

func newCounters() *counters {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "mixdown_sip_" + name, Help: help})
	}
	return &counters{
		messages: counter("messages_total", "SIP messages that came in."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mixdown_sip_dropped_total",
			Help: "Messages and connections that got no answer, by cause; accept: the system gave none, see the log."}, []string{"cause"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mixdown_sip_refused_total",
			Help: "Requests answered at the door without anything being kept of them, by status."}, []string{"code"}),
		answered: counter("answered_total", "Calls that came to stand, both ways."),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mixdown_sip_calls_total",
			Help: "Calls that ended, by direction, who ended them and status."}, []string{"direction", "by", "code"}),
		lengths: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "mixdown_sip_call_seconds",
			Help: "How long calls stood.", Buckets: []float64{1, 10, 60, 300, 900, 1800, 3600, 7200, 14400}}),
		keys:        counter("keys_total", "Keys that callers pressed."),
		wrongPINs:   counter("wrong_pins_total", "PINs that opened nothing."),
		dialRefused: counter("dial_refused_total", "Calls that were not placed because configuration does not allow them."),
	}
}

func (m *counters) begun() { m.answered.Inc() }

func (m *counters) ended(v mixer.Call, why ending) {
	direction := "in"
	if v.Outgoing {
		direction = "out"
	}
	code := why.code
	if code < 100 || code > 699 {
		code = 0
	}
	m.calls.WithLabelValues(direction, why.by, strconv.Itoa(code)).Inc()
	if !v.Answered.IsZero() {
		m.lengths.Observe(time.Since(v.Answered).Seconds())
	}
}

func (m *counters) bound(yes bool) { m.registered.Store(yes) }

func (m *counters) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.messages, m.dropped, m.refused, m.answered, m.calls, m.lengths, m.keys, m.wrongPINs, m.dialRefused}
}

// Describe implements prometheus.Collector.
func (e *Endpoint) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range e.count.collectors() {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{liveDesc, bindDesc, lostDesc, connDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (e *Endpoint) Collect(ch chan<- prometheus.Metric) {
	for _, c := range e.count.collectors() {
		c.Collect(ch)
	}
	e.calls.mu.Lock()
	live := e.calls.live
	e.calls.mu.Unlock()
	e.crowd.mu.Lock()
	connections := len(e.crowd.conn)
	e.crowd.mu.Unlock()
	bound := 0.0
	if e.count.registered.Load() {
		bound = 1
	}
	ch <- prometheus.MustNewConstMetric(liveDesc, prometheus.GaugeValue, float64(live))
	ch <- prometheus.MustNewConstMetric(bindDesc, prometheus.GaugeValue, bound)
	ch <- prometheus.MustNewConstMetric(lostDesc, prometheus.CounterValue, float64(e.records.failed()))
	ch <- prometheus.MustNewConstMetric(connDesc, prometheus.GaugeValue, float64(connections))
}
