package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mixdown/codec"
)

// size of a canvas.
type size struct{ w, h int }

// What the report has.
var (
	coded = []string{"H264", "VP8", "VP9"}
	sizes = []size{{480, 270}, {640, 360}}
	rates = []int{60_000, 100_000, 150_000, 300_000} // bit/s
	// Layers are tried where all tiles are drawn, too.
	large, largeRates = size{960, 540}, []int{400_000, 700_000}
)

// shownAt is the rate whose pictures are kept.
const shownAt = 100_000

// plan is everything that is measured, what is compared one after the other.
func plan(set codec.Set) (all []job) {
	for _, name := range coded {
		layered := name != "H264" // x264 has none
		j := job{codec: set.Find(name)}
		for _, s := range sizes {
			j.width, j.height = s.w, s.h
			for _, j.bitrate = range rates {
				j.layers, j.attentive = 1, false
				all = append(all, j)
				j.attentive = true
				all = append(all, j)
				if j.layers = 2; layered {
					all = append(all, j)
				}
			}
		}
		j.width, j.height, j.attentive = large.w, large.h, false
		for _, j.bitrate = range largeRates {
			for j.layers = 1; layered && j.layers <= 2; j.layers++ {
				all = append(all, j)
			}
		}
	}
	return all
}

// report is all outcomes, in the order of the plan.
type report []outcome

// add takes an outcome, and keeps a picture of it.
func (r *report) add(o outcome, docs string) error {
	*r = append(*r, o)
	if o.bitrate != shownAt || o.layers != 1 || o.width != sizes[0].w {
		return nil
	}
	return writeJPEG(filepath.Join(docs, o.file()), o.last)
}

// file names an outcome's picture.
func (o outcome) file() string {
	how := "uniform"
	if o.attentive {
		how = "attention"
	}
	return fmt.Sprintf("attention-%s-%s.jpg", strings.ToLower(o.codec.Name), how)
}

func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Bits where eyes are

Written by `+"`make attention`"+`. Nine people, painted as the load bots' are but without bar codes, %d pictures a second for %d s; one
of them speaks for %d s, then another. The same pictures are coded twice at each rate: all tiles in every picture, and silent
people's tiles as rarely as a tier of that rate draws them (the key `+"`silent`"+` of the ladder; in turn, see `+"`mixer/refresh.go`"+`). What is
decoded is compared picture by picture, paired by index, with what the cameras saw in that moment, from the third second on. A
picture that the encoder left out shows the one before it.

- **speaker**: the tile of who speaks. **silent**: the mean of the eight others, against what their cameras see now, so that
  staleness counts; **drawn**: against what was drawn when they last were, which is how sharp they are.
- dB is PSNR over all three planes, then SSIM of luma. Means over pictures. Encoding runs on one thread; its time is that of a busy machine.

`, fps, seconds, turn/fps)
	for _, s := range sizes {
		fmt.Fprintf(&b, "## %dx%d\n\n", s.w, s.h)
		b.WriteString("| codec, kb/s | silent tiles | speaker, dB / SSIM, all tiles | with attention | gain, dB | silent, all tiles | with attention | drawn | oldest, s | left out | encode, ms |\n")
		b.WriteString("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
		for _, u := range r {
			a := r.find(u, 1, true)
			if u.width != s.w || u.layers != 1 || u.attentive || a == nil {
				continue
			}
			fmt.Fprintf(&b, "| %s, %d | %s | %s | %s | **%+.1f** | %s | %s | %.1f → %.1f dB | %.1f | %d → %d | %.2f → %.2f |\n",
				u.codec.Name, u.bitrate/1000, often(a.every), u.speaker, a.speaker, a.speaker.psnr-u.speaker.psnr,
				u.silent, a.silent, u.sharp.psnr, a.sharp.psnr, a.worstAge.Seconds(), u.dropped, a.dropped,
				float64(u.encode.Microseconds())/1000, float64(a.encode.Microseconds())/1000)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "## Pictures\n\nThe last ones at %dx%d and %d kb/s; the one in the middle speaks.\n\n| | all tiles | with attention |\n|---|---|---|\n", sizes[0].w, sizes[0].h, shownAt/1000)
	for _, u := range r {
		if a := r.find(u, 1, true); a != nil && !u.attentive && u.bitrate == shownAt && u.width == sizes[0].w {
			fmt.Fprintf(&b, "| %s | ![all tiles](%s) | ![with attention](%s) |\n", u.codec.Name, u.file(), a.file())
		}
	}
	r.layers(&b)
	return b.String()
}

// find returns the outcome of a job like o's with so many layers.
func (r report) find(o outcome, layers int, attentive bool) *outcome {
	want := o.job
	want.layers, want.attentive = layers, attentive
	if i := slices.IndexFunc(r, func(o outcome) bool { return o.job == want }); i >= 0 {
		return &r[i]
	}
	return nil
}

// layers says what two temporal layers cost.
func (r report) layers(b *strings.Builder) {
	b.WriteString("\n## Temporal layers\n\nThe same rate in one temporal layer and in two, of which a link may leave the upper one out at once, without a keyframe; with attention but in the largest size.\n\n")
	b.WriteString("| codec, size, kb/s | speaker, one layer | two | difference, dB | silent, one layer | two |\n|---|---:|---:|---:|---:|---:|\n")
	for _, one := range r {
		if two := r.find(one, 2, one.attentive); one.layers == 1 && two != nil {
			fmt.Fprintf(b, "| %s, %dx%d, %d | %s | %s | **%+.1f** | %s | %s |\n", one.codec.Name, one.width, one.height, one.bitrate/1000,
				one.speaker, two.speaker, two.speaker.psnr-one.speaker.psnr, one.silent, two.silent)
		}
	}
}

// String is a cell of a table.
func (q quality) String() string { return fmt.Sprintf("%.1f / %.3f", q.psnr, q.ssim) }

// often words a refresh.
func often(every int) string {
	if every == 1 {
		return "all"
	}
	return fmt.Sprintf("%.1f/s", fps/float64(every))
}
