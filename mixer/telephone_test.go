package mixer

import (
	"fmt"
	"testing"
	"time"

	"mixdown/codec/codectest"
)

// TestEveryTelephone has telephones of every kind hear the room beside others, at
// one encoder of each codec whatever their links, and none of them hears itself.
func TestEveryTelephone(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		talker := join(t, s, "r", red, 500, "slides")
		names := []string{"G722", "PCMU", "PCMA", "L16"}
		screens, subs := map[string]*screen{}, map[string]*Subscription{}
		for i, name := range names {
			for k := range 3 {
				id := fmt.Sprint(name, k)
				v := newScreen(t, name)
				sub, err := s.Subscribe(t.Context(), "a", Identity{ID: id}, v, Want{})
				if err != nil {
					t.Fatal(err)
				}
				sub.Fit(Fit{Tier: -1, Tone: (i + k) % 4, Loss: float64(k) / 5})
				screens[id], subs[id] = v, sub
			}
		}
		time.Sleep(2 * time.Second)
		if n, want := soundEncoders(t, s), len(names)+2; n != want {
			t.Errorf("%d encoders, want one of each kind and two for the talker: %d", n, want)
		}
		for id, v := range screens {
			v.tell()
			subs[id].Fit(Fit{Tier: -1, Tone: 3, Loss: .3})
		}
		time.Sleep(2 * time.Second)
		for id, v := range screens {
			if samples, holes, _ := v.tell(); samples != 960 || holes > 0 {
				t.Errorf("%s: packets of %d samples, %d holes", id, samples, holes)
			}
			if l := codectest.ToneLevel(v.heard(9600), soundRate, 500); l < -35 {
				t.Errorf("%s: the talker is at %.1f dB", id, l)
			}
			subs[id].Close()
			v.release()
		}
		one := join(t, s, "one", red, 1700, "slides", "VP8", "G722")
		time.Sleep(2 * time.Second)
		own, other := codectest.ToneLevel(one.heard(9600), soundRate, 1700), codectest.ToneLevel(one.heard(9600), soundRate, 500)
		if other < -35 || other-own < 30 {
			t.Errorf("a telephone hears itself at %.1f dB and the other at %.1f", own, other)
		}
		one.leave()
		talker.leave()
	})
}
