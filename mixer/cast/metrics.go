package cast

import "github.com/prometheus/client_golang/prometheus"

var (
	running    = prometheus.NewDesc("mixdown_outputs", "Outputs by format and state.", []string{"format", "state"}, nil)
	programmes = prometheus.NewDesc("mixdown_output_programmes", "Programmes that are coded for outputs, each once.", nil, nil)
	sent       = prometheus.NewDesc("mixdown_output_bytes_total", "Bytes of pictures and sound that an output sent.", []string{"room", "output"}, nil)
	dropped    = prometheus.NewDesc("mixdown_output_dropped_total", "Pictures and packets of sound left out because the target was slow.", []string{"room", "output"}, nil)
	reconnects = prometheus.NewDesc("mixdown_output_reconnects_total", "Times that a target was lost.", []string{"room", "output"}, nil)
)

// Describe implements prometheus.Collector.
func (o *Outputs) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{running, programmes, sent, dropped, reconnects} {
		out <- d
	}
}

// Collect implements prometheus.Collector. The label is the beginning of an id: the
// whole lets who knows it fetch.
func (o *Outputs) Collect(out chan<- prometheus.Metric) {
	o.mu.Lock()
	all, trunks := make([]*sender, 0, len(o.all)), len(o.trunks)
	for _, s := range o.all {
		all = append(all, s)
	}
	o.mu.Unlock()
	type row struct{ format, state string }
	n := map[row]float64{}
	for _, s := range all {
		st := s.snapshot()
		n[row{st.Format, st.State}]++
		for d, v := range map[*prometheus.Desc]uint64{sent: st.Bytes, dropped: st.Dropped, reconnects: st.Reconnects} {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), s.room, st.ID[:8])
		}
	}
	for r, v := range n {
		out <- prometheus.MustNewConstMetric(running, prometheus.GaugeValue, v, r.format, r.state)
	}
	out <- prometheus.MustNewConstMetric(programmes, prometheus.GaugeValue, float64(trunks))
}
