package load

import (
	"testing"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// The slower one of two counts, who has just come does not, and of sound the longest gap.
func TestRates(t *testing.T) {
	var bots []*Bot
	for range 3 {
		bots = append(bots, &Bot{Video: &Receiver{kind: codec.Video}, Audio: &Receiver{kind: codec.Audio}, status: Status{In: true}})
	}
	bots[2].status.In = false
	now := time.Unix(1_000_000, 0)
	r := newRates(bots, now)
	seq := uint16(0)
	second := func(pictures ...int) {
		for i, n := range pictures {
			for range n {
				seq++
				bots[i].Video.Take(&rtp.Header{SequenceNumber: seq, Marker: true}, 100, 80, now)
			}
		}
		for _, ms := range []int{0, 20, 110, 120} {
			seq++
			bots[1].Audio.Take(&rtp.Header{SequenceNumber: seq}, 100, 80, now.Add(time.Duration(ms)*time.Millisecond))
		}
		now = now.Add(time.Second)
		r.note(now)
	}
	second(20, 10, 5) // nobody was known to be in from its beginning
	second(20, 10, 5)
	bots[2].status.In = true
	second(9, 12, 1)
	second(9, 12, 1)
	bots[0].status.In = false
	second(0, 8, 6)
	if len(r.noted) != 4 {
		t.Fatalf("%+v", r.noted)
	}
	for i, want := range []float64{10, 9, 1, 6} {
		if got := r.noted[i]; got.Least != want || got.Gap != 880 {
			t.Errorf("%d: %+v, want %v pictures and 880 ms, from one second's last packet to its end", i, got, want)
		}
	}
}
