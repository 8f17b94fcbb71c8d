package main

import (
	"fmt"
	"image/color"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// curve is one line of a panel.
type curve struct {
	name string
	ink  color.Color
	of   func(Moment) float64
}

var (
	grey = color.Gray{90}
	red  = color.RGBA{R: 200, G: 60, B: 40, A: 255}
	blue = color.RGBA{R: 32, G: 96, B: 192, A: 255}
)

// panels are what is drawn of a run, over the seconds since the click on Join.
var panels = []struct {
	y      string
	curves []curve
}{
	{"kb/s down", []curve{
		{"offered", red, func(m Moment) float64 { return float64(m.Offered) }},
		{"delivered", blue, func(m Moment) float64 { return float64(m.Carried) }},
		{"rate", grey, func(m Moment) float64 { return float64(m.Rate) }},
	}},
	{"queue, ms", []curve{{"", blue, func(m Moment) float64 { return float64(m.Queue) }}}},
	{"tier, lines", []curve{{"", blue, func(m Moment) float64 { return float64(m.Height) }}}},
	{"pictures/s", []curve{{"", blue, func(m Moment) float64 { return float64(m.FPS) }}}},
	{"last one, s ago", []curve{{"", blue, func(m Moment) float64 { return float64(m.Age) }}}},
}

// drawRun plots one run.
func drawRun(path string, r Row, o *Outcome) (err error) {
	const width, height = 8 * vg.Inch, 8 * vg.Inch
	grid := make([][]*plot.Plot, len(panels))
	for i, panel := range panels {
		p := plot.New()
		if i == 0 {
			p.Title.Text = fmt.Sprintf("%s (one run)", r.Title)
			p.Title.Padding = vg.Points(6)
		}
		p.BackgroundColor = color.White
		p.Y.Label.Text = panel.y
		p.Y.Min, p.Y.Max = 0, 1
		p.X.Min, p.X.Max = 0, 1
		lines := plotter.NewGrid()
		lines.Horizontal.Color, lines.Vertical.Color = color.Gray{225}, color.Gray{240}
		p.Add(lines)
		for _, c := range panel.curves {
			var points plotter.XYs
			for _, m := range o.Timeline {
				if v := c.of(m); !math.IsNaN(v) {
					points = append(points, plotter.XY{X: float64(m.At), Y: v})
					p.X.Max, p.Y.Max = max(p.X.Max, float64(m.At)), max(p.Y.Max, 1.1*v)
				}
			}
			if len(points) == 0 {
				continue
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				return fmt.Errorf("plot %s: %w", path, err)
			}
			line.Color, line.Width, line.StepStyle = c.ink, vg.Points(1.2), plotter.PostStep
			p.Add(line)
			if len(panel.curves) > 1 {
				p.Legend.Add(c.name, line)
			}
		}
		p.Legend.Top = true
		if i == len(panels)-1 {
			p.X.Label.Text = "seconds since the click on Join"
		}
		grid[i] = []*plot.Plot{p}
	}
	canvas := vgsvg.New(width, height)
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadY: vg.Points(6), PadX: vg.Points(4)}
	for i, row := range plot.Align(grid, tiles, draw.New(canvas)) {
		grid[i][0].Draw(row[0])
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
