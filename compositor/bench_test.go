package compositor

import (
	"fmt"
	"testing"
)

// BenchmarkCompose draws all tiles anew, the worst case; all have names, one
// speaks.
func BenchmarkCompose(b *testing.B) {
	for _, n := range []int{2, 9, 25, 49} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := canvas(b, 1280, 720, YUV{}, builtin(b))
			places, shots := Grid(n, 1280, 720), make([]Shot, n)
			f := sitter(b, 640, 360, 1)
			for i := range shots {
				shots[i] = Shot{ID: fmt.Sprint(i), Name: fmt.Sprint("Person ", i), Frame: f, Speaking: i == 0}
			}
			compose(b, p, places, shots) // labels are drawn once
			b.ReportAllocs()
			for b.Loop() {
				for i := range shots {
					shots[i].Seq++
				}
				if _, err := p.Compose(places, shots); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
