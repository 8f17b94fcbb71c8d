package input

import "github.com/prometheus/client_golang/prometheus"

var (
	running    = prometheus.NewDesc("mixdown_inputs", "Inputs and announcements, by kind and state.", []string{"kind", "state"}, nil)
	stalls     = prometheus.NewDesc("mixdown_input_stalls_total", "Times that what was to be played had not come yet.", []string{"room", "input"}, nil)
	dropped    = prometheus.NewDesc("mixdown_input_dropped_pictures_total", "Pictures that were too late to be shown.", []string{"room", "input"}, nil)
	reconnects = prometheus.NewDesc("mixdown_input_reconnects_total", "Times that a source was lost.", []string{"room", "input"}, nil)
)

// Describe implements prometheus.Collector.
func (in *Inputs) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{running, stalls, dropped, reconnects} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (in *Inputs) Collect(out chan<- prometheus.Metric) {
	in.mu.Lock()
	var all []*player
	for _, p := range in.players {
		all = append(all, p)
	}
	in.mu.Unlock()
	type row struct{ kind, state string }
	n := map[row]float64{}
	for _, p := range all {
		st := p.snapshot()
		n[row{st.Kind, st.State}]++
		if over(st.State) {
			continue
		}
		for d, v := range map[*prometheus.Desc]uint64{stalls: st.Stalls, dropped: st.Dropped, reconnects: st.Reconnects} {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), p.room, st.ID)
		}
	}
	for r, v := range n {
		out <- prometheus.MustNewConstMetric(running, prometheus.GaugeValue, v, r.kind, r.state)
	}
}
