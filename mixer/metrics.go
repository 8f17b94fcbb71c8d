package mixer

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mixdown/codec"
)

// metrics are the figures that the clocks write as they go. All others follow
// from who is where and are read when somebody asks.
type metrics struct {
	soundLate    lateness
	soundSkipped prometheus.Counter
	soundTime    prometheus.Counter
	concealed    prometheus.Counter

	mu   sync.Mutex
	gone counts // of tiers and publications that have ended
	told map[string]float64
}

// rise keeps a total from falling: what ends between the reading of gone and that
// of its room is in neither, and Prometheus would take that for a restart.
func (m *metrics) rise(name string, total float64) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told[name] = max(m.told[name], total)
	return m.told[name]
}

// lateness is a histogram whose mean the budget can follow.
type lateness struct {
	prometheus.Histogram
	sum atomic.Int64 // ns
	n   atomic.Uint64
}

// Observe takes seconds.
func (l *lateness) Observe(late float64) {
	l.Histogram.Observe(late)
	l.sum.Add(int64(late * float64(time.Second)))
	l.n.Add(1)
}

// counts adds up the counters of tiers and publications.
type counts struct {
	pictures, late, dropped, keyframes, tiles, bytes, tierErrors uint64
	compose, encode, decode                                      time.Duration
	units, decoded, unitsDropped, unwanted, unitErrors, lost     uint64
	limited                                                      uint64
	rested, unfiltered                                           uint64
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		told: map[string]float64{},
		soundLate: lateness{Histogram: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mixdown_sound_tick_late_seconds", Help: "How late the sound clocks' ticks began.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2},
		})},
		soundSkipped: counter("mixdown_sound_ticks_skipped_total", "Ticks of sound left out because the clock came too late."),
		soundTime:    counter("mixdown_sound_seconds_total", "Time spent decoding, mixing and encoding sound."),
		concealed:    counter("mixdown_sound_concealed_seconds_total", "Sound of all senders that was made up."),
	}
}

func (a *counts) tier(t *Tier) {
	a.pictures += t.count.pictures.Load()
	a.late += t.count.skipped.Load()
	a.dropped += t.count.dropped.Load()
	a.keyframes += t.count.keyframes.Load()
	a.tiles += t.count.tiles.Load()
	a.bytes += t.count.bytes.Load()
	a.tierErrors += t.count.errors.Load()
	a.compose += time.Duration(t.count.composeTime.Load())
	a.encode += time.Duration(t.count.encodeTime.Load())
}

func (a *counts) publication(p *Publication) {
	a.units += p.count.units.Load()
	a.decoded += p.count.decoded.Load()
	a.unitsDropped += p.count.dropped.Load()
	a.unwanted += p.count.unwanted.Load()
	a.rested += p.count.rested.Load()
	a.unfiltered += p.count.unfiltered.Load()
	a.unitErrors += p.count.errors.Load()
	a.limited += p.count.limited.Load()
	a.lost += p.count.lost.Load()
	a.decode += time.Duration(p.count.decodeTime.Load())
}

// ended keeps the counters of what is about to be forgotten.
func (m *metrics) ended(t *Tier, p *Publication) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t != nil {
		m.gone.tier(t)
	}
	if p != nil {
		m.gone.publication(p)
	}
}

// Describe implements prometheus.Collector; what is collected depends on the
// rooms there are.
func (s *Server) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{&s.metrics.soundLate, s.metrics.soundSkipped, s.metrics.soundTime, s.metrics.concealed} {
		c.Collect(out)
	}
	rooms := s.all()
	s.metrics.mu.Lock()
	sum := s.metrics.gone
	s.metrics.mu.Unlock()
	for _, r := range rooms {
		r.do(func() { r.collect(out, &sum) })
	}
	s.load.collect(out)
	gauge(out, "mixdown_rooms", "Rooms there are.", float64(len(rooms)))
	gauge(out, "mixdown_frames_live", "Decoded frames held in memory.", float64(codec.LiveFrames()))
	for _, c := range []struct {
		name, help string
		value      float64
	}{
		{"mixdown_tier_pictures_total", "Pictures encoded by all tiers.", float64(sum.pictures)},
		{"mixdown_tier_pictures_late_total", "Pictures left out because a tier's clock came too late.", float64(sum.late)},
		{"mixdown_tier_pictures_dropped_total", "Pictures dropped by the encoders' rate control.", float64(sum.dropped)},
		{"mixdown_tier_keyframes_total", "Keyframes among the pictures.", float64(sum.keyframes)},
		{"mixdown_tier_tiles_total", "Tiles drawn.", float64(sum.tiles)},
		{"mixdown_tier_bytes_total", "Bytes of coded pictures, before fan-out.", float64(sum.bytes)},
		{"mixdown_tier_errors_total", "Errors while composing, encoding or packetizing.", float64(sum.tierErrors)},
		{"mixdown_compose_seconds_total", "Computing time spent composing.", sum.compose.Seconds()},
		{"mixdown_encode_seconds_total", "Computing time spent encoding pictures.", sum.encode.Seconds()},
		{"mixdown_decode_seconds_total", "Computing time spent decoding pictures.", sum.decode.Seconds()},
		{"mixdown_units_total", "Access units that senders sent.", float64(sum.units)},
		{"mixdown_units_decoded_total", "Access units decoded.", float64(sum.decoded)},
		{"mixdown_units_dropped_total", "Access units dropped: decoder behind, or waiting for a keyframe.", float64(sum.unitsDropped)},
		{"mixdown_units_unwanted_total", "Access units not decoded because they are on no canvas.", float64(sum.unwanted)},
		{"mixdown_units_limited_total", "Access units not decoded because their sender went beyond its frame rate or decoding time.", float64(sum.limited)},
		{"mixdown_units_rested_total", "Access units of silent senders left out to save decoding.", float64(sum.rested)},
		{"mixdown_units_unfiltered_total", "Access units decoded without their codec's loop filter because they are shown small.", float64(sum.unfiltered)},
		{"mixdown_units_bad_total", "Access units that no decoder took.", float64(sum.unitErrors)},
		{"mixdown_units_lost_total", "Holes in senders' streams that were not repaired.", float64(sum.lost)},
	} {
		count(out, c.name, c.help, s.metrics.rise(c.name, c.value))
	}
}

func (r *Room) collect(out chan<- prometheus.Metric, sum *counts) {
	open := 0
	for _, m := range r.members {
		if m.pub != nil {
			sum.publication(m.pub)
		}
		if m.open.Load() {
			open++
		}
		m.collect(out, r.name)
	}
	encoders := 0
	if r.sound != nil {
		encoders = int(r.sound.encoders.Load())
	}
	room := []string{"room", r.name}
	gauge(out, "mixdown_room_participants", "Members of a room.", float64(r.people()), room...)
	gauge(out, "mixdown_room_open_sources", "Sources in a room's sum.", float64(open), room...)
	gauge(out, "mixdown_room_audio_encoders", "Sound encoders of a room: one for each tone and loss in use and one for each open source that listens.", float64(encoders), room...)
	gauge(out, "mixdown_room_video_encoders", "Picture encoders of a room, one for each tier in use and each twin of one.", float64(len(r.tiers)), room...)
	for sound, n := range r.listeners() {
		gauge(out, "mixdown_sound_listeners", "Receivers of a room's sound, by what it is made like.", float64(n), append(room,
			"bitrate", strconv.Itoa(sound.Bitrate), "packet", sound.Packet.String(), "loss", strconv.FormatFloat(sound.loss, 'f', -1, 64))...)
	}
	for key, t := range r.tiers {
		sum.tier(t)
		labels := append(room, "tier", key.name(), "codec", key.codec, "canvas", key.canvas,
			"size", strconv.Itoa(key.spec.Width)+"x"+strconv.Itoa(key.spec.Height))
		gauge(out, "mixdown_tier_listeners", "Receivers of a tier.", float64(len(*t.listeners.Load())), labels...)
		gauge(out, "mixdown_tier_fps", "Pictures a second that a tier makes.", r.pace(key.spec), labels...)
	}
}

// madeLike is what a receiver's sound is made like.
type madeLike struct {
	Tone
	loss float64
}

// listeners counts who gets which sound.
func (r *Room) listeners() map[madeLike]int {
	n := map[madeLike]int{}
	spec := r.server.cfg.Sound
	for _, m := range r.members {
		if m.sub != nil && m.sub.audio != nil {
			k := soundKeyOf(m.sub.audio, m.sub.tone, m.sub.loss)
			n[madeLike{spec.tone(k), spec.losses()[k.loss]}]++
		}
	}
	return n
}

// collect gives the figures of one sender's sound.
func (m *member) collect(out chan<- prometheus.Metric, room string) {
	if m.pub == nil || m.pub.src.Voice() == nil {
		return
	}
	who := []string{"room", room, "participant", m.id.ID}
	open := 0.0
	if m.open.Load() {
		open = 1
	}
	gauge(out, "mixdown_participant_open", "1 while the sender is in the sum.", open, who...)
	gauge(out, "mixdown_participant_level_dbov", "Level of the sender's sound.", float64(m.level.Load()), who...)
	if m.lag() != noSound {
		gauge(out, "mixdown_participant_sync_offset_seconds", "How far the sound now playing is behind the picture on show.",
			time.Duration(m.sync.Load()).Seconds(), who...)
	}
	meter, ok := m.pub.src.Voice().(VoiceMeter)
	if !ok {
		return
	}
	v := meter.VoiceStats()
	gauge(out, "mixdown_participant_playout_delay_seconds", "Between arrival and playing.", v.Delay.Seconds(), who...)
	gauge(out, "mixdown_participant_playout_target_seconds", "What the playout delay is steered to.", v.Target.Seconds(), who...)
	count(out, "mixdown_participant_concealed_seconds_total", "Sound made up for what did not come.", v.Concealed.Seconds(), who...)
	count(out, "mixdown_participant_stretched_seconds_total", "Sound left out and put in to steer the delay.", v.Stretched.Seconds(), who...)
	count(out, "mixdown_participant_late_packets_total", "Packets that came after their time.", float64(v.Late), who...)
	estimated := 0.0
	if v.Estimated {
		estimated = 1
	}
	gauge(out, "mixdown_participant_capture_time_estimated", "1 while times of capture are estimated, for want of sender reports.", estimated, who...)
}

func count(out chan<- prometheus.Metric, name, help string, v float64, labels ...string) {
	metric(out, prometheus.CounterValue, name, help, v, labels)
}

func gauge(out chan<- prometheus.Metric, name, help string, v float64, labels ...string) {
	metric(out, prometheus.GaugeValue, name, help, v, labels)
}

func metric(out chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
}
