package mixer

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(s)
		a, b := join(t, s, "r", red, 500, "360p"), join(t, s, "g", green, 0, "360p")
		time.Sleep(2 * time.Second)
		values := func() map[string]float64 {
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]float64{}
			for _, f := range families {
				for _, m := range f.Metric {
					name := f.GetName()
					for _, l := range m.Label {
						if l.GetName() == "participant" {
							name += " " + l.GetValue()
						}
					}
					got[name] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
			return got
		}
		got := values()
		for name, want := range map[string]float64{
			"mixdown_rooms": 1, "mixdown_room_participants": 2, "mixdown_room_open_sources": 1,
			"mixdown_room_audio_encoders": 2, "mixdown_tier_listeners": 2,
			"mixdown_participant_open r": 1, "mixdown_participant_open g": 0, "mixdown_units_bad_total": 0,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
		if got["mixdown_tier_pictures_total"] < 40 || got["mixdown_units_decoded_total"] < 40 {
			t.Errorf("pictures %v, decoded %v", got["mixdown_tier_pictures_total"], got["mixdown_units_decoded_total"])
		}
		a.leave()
		b.leave()
		time.Sleep(5 * time.Second)
		after := values()
		// What has ended stays counted, so totals never go back.
		if after["mixdown_tier_pictures_total"] < got["mixdown_tier_pictures_total"] || after["mixdown_units_decoded_total"] < got["mixdown_units_decoded_total"] {
			t.Errorf("totals went back: %v, %v", after["mixdown_tier_pictures_total"], after["mixdown_units_decoded_total"])
		}
		if after["mixdown_tier_listeners"] != 0 || after["mixdown_room_video_encoders"] != 0 {
			t.Error("encoders of an empty room")
		}
	})
}

// TestTotalsDoNotFall: what ended while they were added up is missing once.
func TestTotalsDoNotFall(t *testing.T) {
	m := newMetrics()
	for _, c := range []struct {
		name      string
		sum, want float64
	}{{"a", 5, 5}, {"b", 1, 1}, {"a", 3, 5}, {"a", 7, 7}} {
		if got := m.rise(c.name, c.sum); got != c.want {
			t.Errorf("%s of %v is told as %v, want %v", c.name, c.sum, got, c.want)
		}
	}
}
