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

// chart is one plot: lines over the number of people.
type chart struct {
	file, title, y string
	lines          []curve
}

// curve is one line of a chart; a value of 0 leaves a point out.
type curve struct {
	name  string
	ink   color.RGBA
	value func(r *Report, n int) float64
}

var (
	blue   = color.RGBA{R: 32, G: 96, B: 192, A: 255}
	grey   = color.RGBA{R: 120, G: 120, B: 120, A: 255}
	light  = color.RGBA{R: 180, G: 180, B: 180, A: 255}
	green  = color.RGBA{R: 40, G: 140, B: 70, A: 255}
	teal   = color.RGBA{R: 20, G: 150, B: 160, A: 255}
	orange = color.RGBA{R: 214, G: 110, B: 20, A: 255}
)

func coresOf(who string) func(*Report, int) float64 {
	return func(r *Report, n int) float64 { return r.cores(who, n) }
}

func overFloor(who string) func(*Report, int) float64 {
	return func(r *Report, n int) float64 { return r.ratio(who, n, nameFloor) }
}

var charts = []chart{
	{"bench-cpu.svg", "CPU by people in one room", "cores", []curve{
		{"mixdown", blue, coresOf(nameServer)},
		{"floor", grey, coresOf(nameFloor)},
		{"floor and wire", light, func(r *Report, n int) float64 {
			if r.cores(nameWire, n) == 0 {
				return 0
			}
			return r.cores(nameFloor, n) + r.cores(nameWire, n)
		}},
		{"ffmpeg", green, coresOf(nameFFmpeg)},
		{"ffmpeg to all", teal, coresOf(nameAll)},
		{"gstreamer", orange, coresOf(nameGst)},
	}},
	{"bench-ratio.svg", "CPU over the floor's", "times", []curve{
		{"mixdown", blue, overFloor(nameServer)},
		{"mixdown over floor and wire", light, func(r *Report, n int) float64 { return r.ratio(nameServer, n, nameFloor, nameWire) }},
		{"ffmpeg", green, overFloor(nameFFmpeg)},
		{"gstreamer", orange, overFloor(nameGst)},
	}},
	{"bench-downlink.svg", "What one person receives", "kb/s", []curve{
		{"", blue, func(r *Report, n int) float64 {
			for _, s := range grouped(r.Servers) {
				if s.Bots == n {
					return s.Kbps
				}
			}
			return 0
		}},
	}},
}

// drawPlots draws what there are at least two numbers of people for.
func drawPlots(dir string, r *Report) error {
	people := r.people()
	if len(people) < 2 {
		return nil
	}
	for _, c := range charts {
		if err := c.draw(filepath.Join(dir, c.file), r, people); err != nil {
			return fmt.Errorf("plot %s: %w", c.file, err)
		}
	}
	return nil
}

func (c chart) draw(path string, r *Report, people []int) error {
	p := plot.New()
	p.Title.Text = c.title
	p.Title.Padding = vg.Points(8)
	p.BackgroundColor = color.White
	p.X.Label.Text = "people (bots at 640x360, 25 fps)"
	p.Y.Label.Text = c.y
	p.X.Min, p.Y.Min = 0, 0
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(8), vg.Points(-4)

	grid := plotter.NewGrid()
	grid.Horizontal.Color = color.Gray{220}
	grid.Vertical.Color = color.Gray{235}
	p.Add(grid)
	var ticks []plot.Tick
	for _, n := range people {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: strconv.Itoa(n)})
		p.X.Max = max(p.X.Max, float64(n)*1.05)
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	for _, l := range c.lines {
		var points plotter.XYs
		for _, n := range people {
			if y := l.value(r, n); y > 0 {
				points = append(points, plotter.XY{X: float64(n), Y: y})
				p.Y.Max = max(p.Y.Max, y*1.15)
			}
		}
		if len(points) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = l.ink, vg.Points(2)
		dots.Color, dots.Radius, dots.Shape = l.ink, vg.Points(3), draw.CircleGlyph{}
		p.Add(line, dots)
		if l.name != "" {
			p.Legend.Add(l.name, line, dots)
		}
	}
	return p.Save(6*vg.Inch, 3.5*vg.Inch, path)
}
