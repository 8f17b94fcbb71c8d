package compositor

import (
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg" // bitmap glyphs come as JPEG or PNG
	_ "image/png"
	"sync"

	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/font"
	ot "github.com/go-text/typesetting/font/opentype"
	"github.com/go-text/typesetting/language"
	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/draw"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// cacheBytes bounds the overlays that a Text remembers.
const cacheBytes = 16 << 20

// Text writes names. It is safe for concurrent use and serves all pictures of
// a server: what one tier has drawn the next one finds.
type Text struct {
	mu        sync.Mutex
	fonts     fonts
	segmenter shaping.Segmenter
	shaper    shaping.HarfbuzzShaper
	wrapper   shaping.LineWrapper
	ink       vector.Rasterizer

	cache map[sign]*overlay
	order []sign // oldest first
	size  int    // bytes in cache
}

// NewText returns a Text that takes its fonts from the trees under dirs, or
// from where the system keeps them if none are given. A built-in font fills
// in; it is the only one where none are installed.
func NewText(dirs ...string) (*Text, error) {
	if len(dirs) == 0 {
		dirs = systemFonts()
	}
	t := &Text{cache: map[sign]*overlay{}}
	if err := t.fonts.open(dirs); err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	return t, nil
}

// NewBuiltinText returns a Text with nothing but the built-in font: it draws
// the same everywhere.
func NewBuiltinText() (*Text, error) {
	t := &Text{cache: map[sign]*overlay{}}
	if err := t.fonts.open(nil); err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	return t, nil
}

// line draws s in white on nothing in letters of px pixels from the lowest to
// the highest, on one line of at most width pixels; what is too long ends in an
// ellipsis. The result is as wide as the text and a quarter higher than px:
// several scripts stack marks where Latin has none.
func (t *Text) line(s string, px, width int) *image.RGBA {
	runs := t.shape([]rune(s), px, width)
	ext, _ := t.fonts.first().FontHExtents()
	scale := float32(px) / (ext.Ascender - ext.Descender)
	lead := (px + 7) / 8
	base := lead + int(ext.Ascender*scale+.5)
	var advance fixed.Int26_6
	for _, r := range runs {
		advance += r.Advance
	}
	img := image.NewRGBA(image.Rect(0, 0, min(advance.Ceil(), width), px+2*lead))
	if img.Rect.Empty() {
		return img
	}
	var dot fixed.Int26_6
	for _, r := range runs {
		t.run(img, r, dot, base)
		dot += r.Advance
	}
	return img
}

// shape turns text into runs of glyphs, in the order they stand from left to
// right.
func (t *Text) shape(text []rune, px, width int) []shaping.Output {
	ext, _ := t.fonts.first().FontHExtents()
	em := float32(px) * float32(t.fonts.first().Upem()) / (ext.Ascender - ext.Descender)
	in := shaping.Input{Text: text, RunEnd: len(text), Direction: direction(text),
		Size: fixed.Int26_6(em * 64), Language: language.NewLanguage("en")}
	var outs []shaping.Output
	for _, part := range t.segmenter.Split(in, &t.fonts) {
		outs = append(outs, t.shaper.Shape(part))
	}
	dots := in
	dots.Text, dots.RunEnd, dots.Face, dots.Script = []rune{'…'}, 1, t.fonts.ResolveFace('…'), language.Common
	cfg := shaping.WrapConfig{Direction: in.Direction, TruncateAfterLines: 1, BreakPolicy: shaping.Always}.
		WithTruncator(&t.shaper, dots)
	lines, _ := t.wrapper.WrapParagraph(cfg, width, text, shaping.NewSliceIterator(outs))
	if len(lines) == 0 {
		return nil
	}
	line := make([]shaping.Output, len(lines[0]))
	for i, r := range lines[0] {
		if at := int(r.VisualIndex); at >= 0 && at < len(line) {
			i = at
		}
		line[i] = r
	}
	return line
}

// direction is that of the first letter that has one.
func direction(text []rune) di.Direction {
	for _, r := range text {
		switch language.LookupScript(r) {
		case language.Common, language.Inherited, language.Unknown:
		case language.Arabic, language.Hebrew, language.Syriac, language.Thaana, language.Nko, language.Adlam:
			return di.DirectionRTL
		default:
			return di.DirectionLTR
		}
	}
	return di.DirectionLTR
}

// run draws one run's glyphs on img from dot on.
func (t *Text) run(img *image.RGBA, r shaping.Output, dot fixed.Int26_6, base int) {
	if r.Face == nil {
		return
	}
	scale := float32(r.Size) / 64 / float32(r.Face.Upem())
	t.ink.Reset(img.Rect.Dx(), img.Rect.Dy())
	for _, g := range r.Glyphs {
		x := float32(dot+g.XOffset) / 64
		y := float32(base) - float32(g.YOffset)/64
		switch data := r.Face.GlyphData(g.GlyphID).(type) {
		case font.GlyphOutline:
			t.outline(data, x, y, scale)
		case font.GlyphSVG:
			t.outline(data.Outline, x, y, scale)
		case font.GlyphColor:
			if o, ok := r.Face.GlyphDataOutline(g.GlyphID); ok {
				t.outline(o, x, y, scale)
			}
		case font.GlyphBitmap:
			at := image.Rect((dot + g.XOffset + g.XBearing).Round(), base-(g.YOffset+g.YBearing).Round(),
				(dot + g.XOffset + g.XBearing + g.Width).Round(), base-(g.YOffset+g.YBearing+g.Height).Round())
			bitmap(img, at, data)
		}
		dot += g.Advance
	}
	t.ink.Draw(img, img.Rect, image.White, image.Point{})
}

// outline adds a glyph to the ink; font units grow up, pixels down.
func (t *Text) outline(o font.GlyphOutline, x, y, scale float32) {
	px := func(p ot.SegmentPoint) (float32, float32) { return x + p.X*scale, y - p.Y*scale }
	open := false
	for _, s := range o.Segments {
		ax, ay := px(s.Args[0])
		bx, by := px(s.Args[1])
		cx, cy := px(s.Args[2])
		switch s.Op {
		case ot.SegmentOpMoveTo:
			if open {
				t.ink.ClosePath()
			}
			open = true
			t.ink.MoveTo(ax, ay)
		case ot.SegmentOpLineTo:
			t.ink.LineTo(ax, ay)
		case ot.SegmentOpQuadTo:
			t.ink.QuadTo(ax, ay, bx, by)
		case ot.SegmentOpCubeTo:
			t.ink.CubeTo(ax, ay, bx, by, cx, cy)
		}
	}
	if open {
		t.ink.ClosePath()
	}
}

// bitmap draws a glyph that is a picture, such as an emoji.
func bitmap(img *image.RGBA, at image.Rectangle, g font.GlyphBitmap) {
	if g.Format != font.PNG && g.Format != font.JPG {
		return
	}
	if src, _, err := image.Decode(bytes.NewReader(g.Data)); err == nil {
		draw.ApproxBiLinear.Scale(img, at, src, src.Bounds(), draw.Over, nil)
	}
}
