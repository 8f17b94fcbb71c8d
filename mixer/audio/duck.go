package audio

import "math"

const (
	// duckBy is how far everybody is turned down under an announcement, dB: it is
	// plainly above them, and they can still be followed.
	duckBy = -9.0
	// duckDown and duckUp are how fast that happens and ends, dB a tick.
	duckDown, duckUp = 1.5, 0.4
)

// duck turns the others down while a strip that goes over them is open.
type duck struct {
	db   float64 // now
	gain float64 // the same, as a factor
}

func (d *duck) listen(strips []*Strip) {
	want := 0.0
	for _, s := range strips {
		if s.Over && s.Open {
			want = duckBy
		}
	}
	was := d.db
	d.db = max(d.db-duckDown, min(d.db+duckUp, want))
	if d.db != was {
		d.gain = math.Pow(10, d.db/20)
	}
}
