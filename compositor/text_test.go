package compositor

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Ada":                                    "Ada",
		"  Ada \t\n Lovelace  ":                  "Ada Lovelace",
		"a\u202eb\u2066c\u200fd":                 "abcd", // overrides, isolates, marks
		"a\x00b\x1bc\u0085d\u2028e":              "abc d e",
		"\xff\xfea\xc3":                          "a",
		"क्\u200dष":                              "क्\u200dष",
		"👩\u200d💻":                               "👩\u200d💻",
		"a\u0301\u0301\u0301\u0301\u0301\u0301b": "a\u0301\u0301\u0301b",
		"\ufeff\u00ad\ue000":                     "",
		"":                                       "",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	long := clean(string(make([]byte, 5)) + fmt.Sprintf("%0500d", 1))
	if n := utf8.RuneCountInString(long); n != longest {
		t.Errorf("a long name has %d characters", n)
	}
}

func TestInitials(t *testing.T) {
	for in, want := range map[string]string{
		"Ada Lovelace": "AL", "bob": "B", "Jean-François de la Tour": "JT", "иван петров": "ИП", "張偉": "張", "محمد الأمين": "م",
		"(guest) 2": "G2", "": "?", "!!!": "!", "ß": "ß", "É Ö": "ÉÖ",
	} {
		if got := initials(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// ink counts the pixels that are at least half covered.
func ink(img *image.RGBA) (n int) {
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		for x := img.Rect.Min.X; x < img.Rect.Max.X; x++ {
			if img.RGBAAt(x, y).A > 127 {
				n++
			}
		}
	}
	return n
}

func TestLineEndsInEllipsis(t *testing.T) {
	text := builtin(t)
	whole := text.line("Ada Lovelace, Countess", 20, 1000)
	for _, width := range []int{150, 80, 40, 21} {
		cut := text.line("Ada Lovelace, Countess", 20, width)
		if cut.Rect.Dx() > width || cut.Rect.Dx() >= whole.Rect.Dx() || ink(cut) == 0 {
			t.Errorf("in %d pixels: %v with %d of ink", width, cut.Rect, ink(cut))
		}
	}
	// The cut is visible: three dots on the base line where the text was.
	cut := text.line("llllllllllllllllllllllllllllll", 40, 200)
	w, h := cut.Rect.Dx(), cut.Rect.Dy()
	above := ink(cut.SubImage(image.Rect(w-26, 0, w, h/2)).(*image.RGBA))
	below := ink(cut.SubImage(image.Rect(w-26, h/2, w, h)).(*image.RGBA))
	if above != 0 || below == 0 {
		t.Errorf("%d of ink above the dots, %d below", above, below)
	}
}

func TestCacheIsBounded(t *testing.T) {
	text := builtin(t)
	drawn := 0
	for over := 0; over < 20 && drawn < 400; drawn++ {
		if len(text.cache) < drawn {
			over++ // some have been let go: a few more
		}
		text.overlay(sign{text: fmt.Sprint("+", drawn), px: 300, width: 1200, plain: true})
	}
	total := 0
	for _, o := range text.cache {
		total += o.bytes()
	}
	if total != text.size || total > cacheBytes || len(text.order) != len(text.cache) || len(text.cache) == drawn {
		t.Errorf("%d bytes (%d counted) in %d overlays, %d in line", total, text.size, len(text.cache), len(text.order))
	}
	a := text.overlay(sign{text: "a", px: 20, width: 200})
	if a == nil || a != text.overlay(sign{text: "a", px: 20, width: 200}) {
		t.Error("drawn twice")
	}
}

func TestOverlayOfNothing(t *testing.T) {
	text := builtin(t)
	for _, s := range []sign{{px: 20, width: 200}, {text: "a", px: 3, width: 200}, {text: "a", px: 20, width: 39}} {
		if text.overlay(s) != nil {
			t.Errorf("%+v is drawn", s)
		}
	}
	if o := text.overlay(sign{muted: true, px: 20, width: 200}); o == nil || o.w < 15 {
		t.Error("the mark alone is not drawn")
	}
	var none *Text
	if none.overlay(sign{text: "a", px: 20, width: 200}) != nil {
		t.Error("no text draws")
	}
}

// Sums of what is laid over and what it lets through stay within a byte.
func TestOverlayNeverWraps(t *testing.T) {
	for a := range 256 {
		through := (255*(255-a) + 127) / 255
		for _, c := range [][3]int{{a, a, a}, {a, 0, 0}, {0, a, 0}, {0, 0, a}, {a, a, 0}, {0, a, a}, {a, 0, a}, {0, 0, 0}} {
			y := int(luma(c[0], c[1], c[2], a))
			u, v := chroma(c[0], c[1], c[2], a)
			if max(y, int(u), int(v))+through > 255 || y > 235*a/255+1 {
				t.Fatalf("%v of %d: %d, %d, %d over %d", c, a, y, u, v, through)
			}
		}
	}
}

func TestTextIsSafeForConcurrentUse(t *testing.T) {
	text := builtin(t)
	f := sitter(t, 160, 90, 1)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			p := NewPicture(320, 180, &nearest{}, text)
			defer p.Close()
			for j := range 20 {
				shots := []Shot{{ID: "a", Name: fmt.Sprint("Ada ", j%7), Seq: uint64(j), Frame: f, Muted: i&1 == 0}, {ID: "b", Name: fmt.Sprint("Bob ", j)}}
				if _, err := p.Compose(Grid(2, 320, 180), shots); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Whatever fonts are installed: every script draws something, a letter or a box.
func TestScripts(t *testing.T) {
	for name, text := range map[string]*Text{"built-in": builtin(t), "system": system(t)} {
		for _, s := range []string{"Ada", "محمد الأمين", "अमित शर्मा", "สมชาย ใจดี", "张伟", "שלום", "👩\u200d💻", "🇩🇪", "e\u0301\u0327", "Ada محمد 7"} {
			if img := text.line(clean(s), 24, 300); ink(img) < 10 || img.Rect.Dx() > 300 {
				t.Errorf("%s: %q has %d of ink in %v", name, s, ink(img), img.Rect)
			}
		}
	}
}

func system(t testing.TB) *Text {
	t.Helper()
	text, err := NewText()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFontsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"a.ttf": "", "b.otf": "OTTO\xff\xff\xff\xff", "c.ttc": "ttcf\x00\x01\x00\x00\xff\xff\xff\xff", "d.txt": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := NewText(dir, filepath.Join(dir, "nowhere"))
	if err != nil {
		t.Fatal(err)
	}
	if ink(text.line("Ada", 24, 300)) == 0 {
		t.Error("nothing is drawn")
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"Ada", "محمد الأمين", "अमित शर्मा", "สมชาย", "张伟", "שלום a שלום", "👩\u200d👩\u200d👧", "\u202eabc", "\xff", "a\u0300\u0301", "क्\u200dष", "ﷺ", "\u0e33\u0e33", "fi ffl"} {
		f.Add(s, uint8(20), uint16(200), true)
	}
	text := system(f)
	f.Fuzz(func(t *testing.T, name string, px uint8, width uint16, muted bool) {
		s := clean(name)
		if !utf8.ValidString(s) || utf8.RuneCountInString(s) > longest {
			t.Fatalf("%q is cleaned to %q", name, s)
		}
		initials(s)
		sg := sign{text: s, px: int(px)%64 + 6, muted: muted, hand: len(s)%2 == 0}
		sg.width = 2*sg.px + int(width)%700
		text.mu.Lock()
		defer text.mu.Unlock()
		if o := text.draw(sg); o.w > (sg.width+1)&^1 || o.w&1 != 0 || o.h&1 != 0 {
			t.Fatalf("%+v is %dx%d", sg, o.w, o.h)
		}
	})
}

// A fault in shaping costs the name alone.
func TestTextSurvivesAFault(t *testing.T) {
	text := &Text{cache: map[sign]*overlay{}} // no fonts at all: drawing panics
	p := canvas(t, 320, 180, &nearest{}, text)
	if drawn := compose(t, p, Grid(1, 320, 180), []Shot{{ID: "a", Name: "Ada", Muted: true}}); drawn != 1 {
		t.Errorf("%d drawn", drawn)
	}
	if got := at(p.Frame(), 160, 90); got != backdrop("a") {
		t.Errorf("the tile is %v", got)
	}
}
