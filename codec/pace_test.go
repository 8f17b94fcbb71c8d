package codec

import (
	"testing"
	"time"
)

// TestPace: times grow, and keyframes come when they are asked for or due.
func TestPace(t *testing.T) {
	p := Pace{Interval: 3}
	keys := ""
	for i := range 8 {
		at := time.Duration(i) * 40 * time.Millisecond
		ticks, key, err := p.Next(at, i == 0 || i == 5)
		if err != nil || ticks != int64(i)*3600 {
			t.Fatalf("%v: %d, %v", at, ticks, err)
		}
		if _, _, err := p.Next(at, false); err == nil {
			t.Fatalf("%v twice", at)
		}
		p.Coded(key)
		keys += map[bool]string{true: "K", false: "-"}[key]
	}
	if keys != "K--K-K--" {
		t.Error(keys)
	}
	if _, _, err := new(Pace).Next(-time.Second, false); err == nil {
		t.Error("a time before all")
	}
}
