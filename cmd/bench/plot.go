package main

import (
	"fmt"
	"image/color"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// chart is one plot: a value of the server over the number of bots.
type chart struct {
	file, title, y string
	value          func(Sample) float64
}

var charts = []chart{
	{"bench-cpu.svg", "Server CPU by people in one room", "cores", func(s Sample) float64 { return s.Cores }},
	{"bench-downlink.svg", "What one person receives", "kb/s", func(s Sample) float64 { return s.Kbps }},
}

func drawPlots(dir string, servers []Sample) error {
	for _, c := range charts {
		if err := c.draw(filepath.Join(dir, c.file), servers); err != nil {
			return fmt.Errorf("plot %s: %w", c.file, err)
		}
	}
	return nil
}

func (c chart) draw(path string, servers []Sample) error {
	p := plot.New()
	p.Title.Text = c.title
	p.Title.Padding = vg.Points(8)
	p.BackgroundColor = color.White
	p.X.Label.Text = "people (bots at 640x360, 25 fps)"
	p.Y.Label.Text = c.y
	p.X.Min, p.Y.Min = 0, 0

	var points plotter.XYs
	var ticks []plot.Tick
	for _, s := range servers {
		y := c.value(s)
		points = append(points, plotter.XY{X: float64(s.Bots), Y: y})
		ticks = append(ticks, plot.Tick{Value: float64(s.Bots), Label: strconv.Itoa(s.Bots)})
		p.Y.Max = max(p.Y.Max, y*1.15)
		p.X.Max = max(p.X.Max, float64(s.Bots)*1.05)
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	grid := plotter.NewGrid()
	grid.Horizontal.Color = color.Gray{220}
	grid.Vertical.Color = color.Gray{235}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	ink := color.RGBA{R: 32, G: 96, B: 192, A: 255}
	line.Color, line.Width = ink, vg.Points(2)
	dots.Color, dots.Radius, dots.Shape = ink, vg.Points(3), draw.CircleGlyph{}
	p.Add(grid, line, dots)
	return p.Save(6*vg.Inch, 3.5*vg.Inch, path)
}
