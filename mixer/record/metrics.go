package record

import "github.com/prometheus/client_golang/prometheus"

// Describe implements prometheus.Collector; what is collected is always the
// same.
func (r *Recorder) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(r, out) }

// Collect implements prometheus.Collector.
func (r *Recorder) Collect(out chan<- prometheus.Metric) {
	r.mu.Lock()
	c := r.count
	running, paused := 0, 0
	var size, silence float64
	dropped := c.dropped
	for _, s := range r.live {
		info := s.describe()
		if info.State == "paused" {
			paused++
		} else {
			running++
		}
		size += float64(info.Size)
		dropped += info.Dropped
		silence += float64(s.film.Counts().Silence) / float64(r.cfg.Sound.Rate)
	}
	r.mu.Unlock()
	put := func(kind prometheus.ValueType, name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), kind, v)
	}
	put(prometheus.GaugeValue, "mixdown_recordings_running", "Recordings that run now.", float64(running))
	put(prometheus.GaugeValue, "mixdown_recordings_paused", "Recordings that are paused now.", float64(paused))
	put(prometheus.GaugeValue, "mixdown_recordings_open_bytes", "Size of the recordings that run.", size)
	put(prometheus.GaugeValue, "mixdown_recordings_open_silence_seconds", "Silence put in where no sound came, in the recordings that run.", silence)
	put(prometheus.CounterValue, "mixdown_recordings_started_total", "Recordings started.", float64(c.started))
	put(prometheus.CounterValue, "mixdown_recordings_done_total", "Recordings that ended as they should.", float64(c.done))
	put(prometheus.CounterValue, "mixdown_recordings_failed_total", "Recordings that writing ended.", float64(c.failed))
	put(prometheus.CounterValue, "mixdown_recordings_recovered_total", "Recordings that a former process left, finished.", float64(c.recovered))
	put(prometheus.CounterValue, "mixdown_recordings_dropped_total", "Pictures and packets of sound left out because the disk was slow.", float64(dropped))
	put(prometheus.CounterValue, "mixdown_recordings_set_aside_total", "Recordings that could not be uploaded and are not tried any more; they stay here, and say why.", float64(c.aside))
	put(prometheus.CounterValue, "mixdown_recordings_parts_total", "Parts of files uploaded.", float64(c.parts))
	if left, err := free(r.cfg.Dir); err == nil {
		put(prometheus.GaugeValue, "mixdown_recordings_disk_free_bytes", "What is free where recordings are kept.", float64(left))
	}
}
