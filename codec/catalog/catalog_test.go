package catalog

import (
	"testing"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

func TestConformance(t *testing.T) {
	names := map[string]bool{}
	for _, row := range Default() {
		t.Run(row.Name, func(t *testing.T) {
			if names[row.Name] {
				t.Error("name is taken by another row")
			}
			names[row.Name] = true
			switch row.Kind {
			case codec.Video:
				codectest.Video(t, row)
			case codec.Audio:
				band := map[string]float64{"opus": 7000, "G722": 6800, "PCMU": 3400, "PCMA": 3400, "L16": 20_000}[row.Name]
				codectest.Audio(t, row, band)
			default:
				t.Errorf("kind %v", row.Kind)
			}
		})
	}
}
