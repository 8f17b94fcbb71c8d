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
				codectest.Audio(t, row)
			default:
				t.Errorf("kind %v", row.Kind)
			}
		})
	}
}
