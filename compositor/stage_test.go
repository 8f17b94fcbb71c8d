package compositor

import "testing"

func TestStage(t *testing.T) {
	for _, size := range [][2]int{{1280, 720}, {1920, 1080}, {854, 480}, {320, 180}, {720, 1280}, {600, 600}} {
		for n := 1; n <= 6; n++ {
			places := Stage(n, size[0], size[1])
			if len(places) != n {
				t.Fatalf("%d on %v: %d places", n, size, len(places))
			}
			for i, a := range places {
				if !a.in(size[0], size[1]) {
					t.Errorf("%d on %v: place %d is %v", n, size, i, a)
				}
				for j, b := range places[:i] {
					if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
						t.Errorf("%d on %v: places %d %v and %d %v overlap", n, size, j, b, i, a)
					}
				}
			}
			if first := places[0]; 2*first.W*first.H < size[0]*size[1] {
				t.Errorf("%d on %v: the stage %v is less than half of it", n, size, first)
			}
		}
	}
	for n, want := range map[int][2]int{0: {0, 0}, 1: {1, 0}, 6: {6, 0}, 7: {5, 2}, 50: {5, 45}} {
		if tiles, more := StagePlaces(n); tiles != want[0] || more != want[1] {
			t.Errorf("%d people: %d tiles and %d more, want %v", n, tiles, more, want)
		}
	}
}
