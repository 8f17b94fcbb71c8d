package main

import (
	"encoding/json"
	"fmt"
	"os"

	"mixdown/cmd/mixdown/load"
)

// readLoad reads what `mixdown load --json` wrote. Bots that did not all get a
// picture make no measurement.
func readLoad(path string) (Sample, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Sample{}, err
	}
	var r load.Report
	if err := json.Unmarshal(text, &r); err != nil {
		return Sample{}, fmt.Errorf("%s: %w", path, err)
	}
	if in := r.Summary.Joined - r.Summary.NoPicture; in < r.Bots {
		return Sample{}, fmt.Errorf("%d of %d bots got no picture", r.Bots-in, r.Bots)
	}
	return Sample{
		FPS:      r.Summary.FPS.P50,
		LeastFPS: r.Summary.FPS.Min,
		VideoGap: float64(r.Summary.VideoGap),
		AudioGap: float64(r.Summary.AudioGap),
		Kbps:     r.Summary.VideoKbps.P50 + r.Summary.AudioKbps.P50,
		Loss:     r.Summary.Loss,
		Late:     float64(r.Summary.AudioLate),
		JoinMS:   r.Summary.Join.P50,
		AgeMS:    r.Summary.AgeP50,
		Age95:    r.Summary.AgeP95,
	}, nil
}
