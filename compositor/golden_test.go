package compositor

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mixdown/codec"
)

// sum is a checksum of all that shows.
func sum(f *codec.Frame) uint32 {
	h := crc32.NewIEEE()
	plane := func(p []byte, stride, w, h2 int) {
		for y := range h2 {
			_, _ = h.Write(p[y*stride:][:w]) // a hash takes everything
		}
	}
	plane(f.Y, f.YStride, f.Width, f.Height)
	plane(f.U, f.UVStride, f.Width/2, f.Height/2)
	plane(f.V, f.UVStride, f.Width/2, f.Height/2)
	return h.Sum32()
}

// cast is n people of all sorts: cameras, a phone, a screen, no camera, the
// speaker, a muted one, one whose picture is old.
func cast(t testing.TB, n int) []Shot {
	names := []string{"Ada Lovelace", "Bob", "Ωμέγα", "", "Jean-François de la Très-Longue-Dénomination et Compagnie", "Иван Петров", "7"}
	shots := make([]Shot, n)
	for i := range shots {
		s := Shot{ID: fmt.Sprint("id", i), Name: names[i%len(names)], Seq: 1, Speaking: i == 1, Muted: i%3 == 2, Dim: i == 4}
		switch {
		case i%6 == 3:
		case i%8 == 2:
			s.Frame = sitter(t, 180, 320, i)
		case i%8 == 5:
			s.Frame = sitter(t, 320, 240, i)
		default:
			s.Frame = sitter(t, 320, 180, i)
		}
		shots[i] = s
	}
	return shots
}

// TestGolden compares whole pictures, one line of checksum each: with -update
// it writes them anew, to be looked at before they are committed.
func TestGolden(t *testing.T) {
	layouts := []struct {
		name   string
		layout Layout
	}{{"grid", Grid}}
	text := builtin(t)
	var got strings.Builder
	for _, l := range layouts {
		for _, size := range [][2]int{{1280, 720}, {640, 360}, {360, 640}} {
			for n := 1; n <= 16; n++ {
				p := canvas(t, size[0], size[1], &nearest{}, text)
				compose(t, p, l.layout(n, size[0], size[1]), cast(t, n))
				fmt.Fprintf(&got, "%s %dx%d %d %08x\n", l.name, size[0], size[1], n, sum(p.Frame()))
			}
		}
		p := canvas(t, 1280, 720, &nearest{}, text)
		tiles, more := Places(60)
		compose(t, p, l.layout(tiles+1, 1280, 720), append(cast(t, tiles), Shot{More: more}))
		fmt.Fprintf(&got, "%s 1280x720 60 %08x\n", l.name, sum(p.Frame()))
	}
	file := filepath.Join("testdata", "golden.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got.String(), "\n") {
		if i >= len(old) || line != old[i] {
			t.Errorf("line %d is now %q", i+1, line)
		}
	}
}
