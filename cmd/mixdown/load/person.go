package load

import (
	"math"
	"math/rand/v2"

	"mixdown/codec"
)

// faceWidth is half of a face, in heights of the picture.
const faceWidth = 0.122

// mouths is how many openings of the mouth are drawn.
const mouths = 6

// Person is somebody at a desk, painted once; every frame moves the layers.
type Person struct {
	id         int
	room       *codec.Frame // all that stands still
	back       *layer       // hair behind the neck
	body, head *layer
	lids       *layer
	mouth      [mouths]*layer
	desk       *layer
	noise      []int8
	height     float64

	lean, nod, turn [2]float64 // phases of the movements
	blinks          []float64  // when, in parts of the loop
}

// looks is what makes people distinct.
type looks struct {
	wall, skin, hair, shirt, eyes rgb
	style                         int
	glasses, beard, headset       bool
	broad                         float64
}

// NewPerson paints bot id at that size; the same id always looks the same.
func NewPerson(id, width, height int) *Person {
	r := rand.New(rand.NewPCG(uint64(id), 0x6d6978))
	l := newLooks(id, r)
	p := &Person{id: id, height: float64(height)}

	room := newCanvas(width, height)
	paintRoom(room, l, r)
	room.blur(max(1, height/150))
	p.room = room.frame()

	c := newCanvas(width, height)
	paintBody(c, l)
	p.body = c.cut()
	c = newCanvas(width, height)
	paintBack(c, l)
	p.back = c.cut()
	c = newCanvas(width, height)
	paintHead(c, l)
	p.head = c.cut()
	c = newCanvas(width, height)
	paintLids(c, l)
	p.lids = c.cut()
	for i := range p.mouth {
		c = newCanvas(width, height)
		paintMouth(c, l, float64(i)/(mouths-1))
		p.mouth[i] = c.cut()
	}
	c = newCanvas(width, height)
	paintDesk(c, l, r)
	p.desk = c.cut()

	p.noise = make([]int8, 1<<13+width)
	for i := range p.noise {
		p.noise[i] = int8(math.Round(r.NormFloat64() * 0.8))
	}
	for i := range 2 {
		p.lean[i], p.nod[i], p.turn[i] = r.Float64(), r.Float64(), r.Float64()
	}
	for at := r.Float64() * 0.2; at < 1; at += 0.2 + 0.35*r.Float64() {
		p.blinks = append(p.blinks, at)
	}
	return p
}

// newLooks gives neighbours by number colours that are far apart.
func newLooks(id int, r *rand.Rand) looks {
	skins := []rgb{{.96, .80, .69}, {.88, .67, .52}, {.76, .55, .40}, {.58, .39, .27}, {.42, .28, .20}, {.93, .74, .60}}
	hairs := []rgb{{.10, .08, .07}, {.25, .16, .10}, {.42, .27, .15}, {.72, .55, .30}, {.55, .25, .12}, {.62, .62, .63}, {.16, .12, .14}}
	hue := phase(id)
	return looks{
		wall:    hsl(hue, 0.42, 0.62),
		skin:    skins[(id*5+r.IntN(2))%len(skins)],
		hair:    hairs[(id*3+r.IntN(2))%len(hairs)],
		shirt:   hsl(hue+0.35+0.3*r.Float64(), 0.45+0.2*r.Float64(), 0.25+0.3*r.Float64()),
		eyes:    hsl(0.08+0.5*r.Float64(), 0.4, 0.28),
		style:   id % 6,
		glasses: r.IntN(3) == 0,
		beard:   id%6 == 3 || (id%6 == 0 && r.IntN(2) == 0),
		headset: r.IntN(4) == 0,
		broad:   0.92 + 0.16*r.Float64(),
	}
}

// Draw paints the frame at an index of a loop, with its bar code. talk is how far
// the mouth is open, 0 to 1; lively people (those who talk) move more.
func (p *Person) Draw(f *codec.Frame, index, loop int, talk float64, lively bool) {
	p.Paint(f, index, loop, talk, lively)
	drawCode(f, p.id, index)
}

// Paint is Draw without a bar code, which takes more bits than the face.
func (p *Person) Paint(f *codec.Frame, index, loop int, talk float64, lively bool) {
	copy(f.Y, p.room.Y)
	copy(f.U, p.room.U)
	copy(f.V, p.room.V)

	t := float64(index) / float64(loop)
	wave := func(times, phase float64) float64 { return math.Sin(2 * math.Pi * (times*t + phase)) }
	swing := 1.0
	if lively {
		swing = 1.8
	}
	unit := p.height
	lean := swing * unit * (0.010*wave(1, p.lean[0]) + 0.004*wave(3, p.lean[1]))
	breath := unit * 0.0025 * wave(2, p.nod[0])
	bottom := unit
	body := func(y float64) float64 { return lean * (bottom - y) / (bottom * 0.3) }
	tilt := swing * unit * 0.012 * wave(2, p.turn[0])
	neck := 0.66 * unit
	head := func(y float64) float64 { return body(neck) + tilt*(neck-y)/(neck*0.5) }
	nod := breath + swing*unit*(0.004*wave(3, p.nod[1])+0.003*wave(5, p.turn[1])) - unit*0.006*talk

	p.back.blend(f, head, nod)
	p.body.blend(f, body, breath)
	p.head.blend(f, head, nod)
	p.mouth[int(talk*(mouths-1)+0.5)].blend(f, head, nod)
	for _, at := range p.blinks {
		if since := t - at; since >= 0 && since < 0.018 {
			p.lids.blend(f, head, nod)
		}
	}
	p.desk.blend(f, func(float64) float64 { return 0 }, 0)
	p.grain(f, index)
}

// grain adds the noise of a sensor.
func (p *Person) grain(f *codec.Frame, index int) {
	r := rand.New(rand.NewPCG(uint64(index), uint64(p.id)))
	for y := range f.Height {
		row := f.Y[y*f.YStride : y*f.YStride+f.Width]
		noise := p.noise[r.IntN(1<<13):][:len(row)]
		for x, n := range noise {
			row[x] += byte(n)
		}
	}
}

// paintRoom paints wall, window, shelf and lamp.
func paintRoom(c *canvas, l looks, r *rand.Rand) {
	all := shape{-4, 0, 4, 1, func(x, y float64) float64 { return -1 }}
	side := 1.0
	if r.IntN(2) == 0 {
		side = -1
	}
	c.shade(all, 0, func(x, y float64) (rgb, float64) {
		light := 1.08 - 0.35*y - 0.14*x*side
		return l.wall.scale(light), 1
	})
	// A window with a bright sky, or a picture on the wall.
	wx := -0.62 * side
	if r.IntN(2) == 0 {
		c.fill(box(wx, 0.30, 0.19, 0.25, 0.01), rgb{.93, .93, .91})
		c.shade(box(wx, 0.30, 0.17, 0.23, 0), 0, func(x, y float64) (rgb, float64) {
			return rgb{.62, .80, .95}.mix(rgb{.95, .96, .92}, y*1.8), 1
		})
		c.fill(box(wx, 0.30, 0.008, 0.23, 0), rgb{.93, .93, .91})
		c.fill(box(wx, 0.27, 0.17, 0.008, 0), rgb{.93, .93, .91})
		c.fill(ellipse(wx+0.09, 0.52, 0.13, 0.09).and(box(wx, 0.30, 0.17, 0.23, 0)), rgb{.35, .55, .30})
	} else {
		c.fill(box(wx, 0.33, 0.17, 0.14, 0.005), rgb{.20, .17, .15})
		c.fill(box(wx, 0.33, 0.155, 0.125, 0), rgb{.92, .90, .85})
		for range 5 {
			col := hsl(r.Float64(), 0.5, 0.55)
			e := ellipse(wx+0.2*(r.Float64()-.5), 0.33+0.14*(r.Float64()-.5), 0.02+0.05*r.Float64(), 0.02+0.05*r.Float64())
			c.shade(e.and(box(wx, 0.33, 0.15, 0.12, 0)), 0, func(x, y float64) (rgb, float64) { return col, 0.8 })
		}
	}
	// Two boards with books, a plant on one of them.
	sx := 0.62 * side
	for board := range 2 {
		y := 0.38 + 0.26*float64(board)
		for x := -0.22; x < 0.20; {
			w, h := 0.014+0.016*r.Float64(), 0.11+0.07*r.Float64()
			if r.IntN(6) > 0 {
				c.fill(box(sx+x+w, y-h/2, w*0.95, h/2, 0.004), hsl(r.Float64(), 0.15+0.4*r.Float64(), 0.25+0.35*r.Float64()))
			}
			x += 2 * w
		}
		c.fill(box(sx, y+0.012, 0.27, 0.014, 0), rgb{.45, .31, .20})
		c.shade(box(sx, y+0.04, 0.26, 0.012, 0), 0.02, func(x, y float64) (rgb, float64) { return rgb{}, 0.25 })
	}
	// A lamp and its light.
	lx := -0.66 * side
	c.shade(ellipse(lx, 0.70, 0.26, 0.24), 0.3, func(x, y float64) (rgb, float64) { return rgb{1, .93, .70}, 0.45 })
	c.fill(box(lx, 0.82, 0.012, 0.12, 0.004), rgb{.25, .24, .24})
	c.fill(box(lx, 0.70, 0.085, 0.055, 0.02), rgb{1, .95, .80})
}

// paintBody paints neck and shoulders, which end below the picture.
func paintBody(c *canvas, l looks) {
	wide := 0.27 * l.broad
	torso := box(0, 1.02, wide, 0.29, 0.15).or(box(0, 0.74, 0.09, 0.06, 0.05), 0.08)
	c.shade(torso, 0, func(x, y float64) (rgb, float64) {
		k := 1.12 - 0.5*math.Abs(x)/wide*math.Abs(x)/wide - 0.35*(y-0.72)
		if crease := math.Abs(math.Abs(x)-0.17*l.broad-0.06*(y-0.9)) / 0.012; y > 0.84 && crease < 1 {
			k *= 0.86 + 0.14*crease // where the arms begin
		}
		return l.shirt.scale(k), 1
	})
	neck := box(0, 0.66, 0.058*l.broad, 0.10, 0.03).or(ellipse(0, 0.725, 0.075*l.broad, 0.03), 0.03)
	c.shade(neck, 0, func(x, y float64) (rgb, float64) {
		return l.skin.scale(0.92 - 1.3*max(0, 0.70-y) - 2*x*x/0.01*0.05), 1
	})
	// The collar.
	for _, side := range []float64{-1, 1} {
		flap := box(0.055*side, 0.748, 0.045, 0.018, 0.012)
		c.fill(flap, l.shirt.scale(1.35))
	}
}

// paintHair paints a shape as hair.
func paintHair(c *canvas, l looks, s shape) {
	c.shade(s, 0, func(x, y float64) (rgb, float64) {
		strand := 0.10 * math.Sin(160*x+30*math.Sin(20*y))
		return l.hair.scale(1.15 - 1.6*math.Abs(x+0.03) + strand - 0.5*(y-0.4)), 1
	})
}

// paintBack paints the hair that hangs or stands behind face and neck.
func paintBack(c *canvas, l looks) {
	w := faceWidth * l.broad
	switch l.style {
	case 1:
		paintHair(c, l, box(0, 0.53, w+0.045, 0.20, 0.13))
	case 2:
		paintHair(c, l, ellipse(0, 0.305, 0.055, 0.05))
	case 4:
		for a := 0.0; a < 1; a += 0.09 {
			paintHair(c, l, ellipse((w+0.015)*math.Cos(math.Pi*a), 0.44-0.12*math.Sin(math.Pi*a), 0.055, 0.055))
		}
	case 5:
		paintHair(c, l, box(0, 0.49, w+0.035, 0.145, 0.11))
	}
}

// paintHead paints everything of the head that moves as one.
func paintHead(c *canvas, l looks) {
	w := faceWidth * l.broad
	face := ellipse(0, 0.475, w, 0.150).or(ellipse(0, 0.555, w*0.72, 0.085), 0.05)
	for _, side := range []float64{-1, 1} {
		c.fill(ellipse(side*w, 0.49, 0.020, 0.034), l.skin.scale(0.86))
	}
	c.shade(face, 0, func(x, y float64) (rgb, float64) {
		k := 1.04 - 9*(x+0.02)*(x+0.02) - 0.9*max(0, y-0.55) - 0.25*max(0, 0.40-y)
		return l.skin.scale(k), 1
	})
	for _, side := range []float64{-1, 1} { // cheeks
		c.shade(ellipse(side*0.065, 0.535, 0.024, 0.018), 0.03, func(x, y float64) (rgb, float64) { return rgb{.85, .35, .30}, 0.13 })
	}
	if l.beard {
		jaw := face.without(ellipse(0, 0.475, w*0.97, 0.098))
		c.shade(jaw, 0.006, func(x, y float64) (rgb, float64) { return l.hair.scale(0.95 + 0.1*math.Sin(190*x)), 0.92 })
	}
	cap := ellipse(0, 0.445, w+0.012, 0.140)
	fringe := ellipse(0.03, 0.535, w*1.1, 0.155)
	switch l.style {
	case 0:
		paintHair(c, l, cap.without(fringe))
	case 1:
		paintHair(c, l, cap.without(ellipse(0.05, 0.53, w*0.98, 0.150)))
	case 2:
		paintHair(c, l, cap.without(ellipse(0, 0.53, w*1.02, 0.158)))
	case 3: // what is left at the sides
		paintHair(c, l, cap.without(ellipse(0, 0.45, w*0.93, 0.20)).without(box(0, 0.3, 0.2, 0.1, 0)))
	case 4:
		paintHair(c, l, cap.without(ellipse(0, 0.54, w*1.05, 0.150)))
	case 5:
		paintHair(c, l, cap.without(ellipse(0, 0.555, w*0.92, 0.135)))
	}
	paintFace(c, l)
	if l.headset {
		band := ellipse(0, 0.45, w+0.030, 0.165).without(ellipse(0, 0.455, w+0.018, 0.153)).and(box(0, 0.37, 0.3, 0.11, 0))
		c.fill(band, rgb{.12, .12, .13})
		for _, side := range []float64{-1, 1} {
			c.fill(box(side*(w+0.014), 0.49, 0.019, 0.042, 0.016), rgb{.15, .15, .17})
		}
	}
}

// paintFace paints open eyes, brows, nose and what is worn on it.
func paintFace(c *canvas, l looks) {
	for _, side := range []float64{-1, 1} {
		ex := side * 0.047
		white := ellipse(ex, 0.473, 0.021, 0.0125)
		c.shade(ellipse(ex, 0.470, 0.028, 0.020), 0.012, func(x, y float64) (rgb, float64) { return l.skin.scale(0.6), 0.35 })
		c.fill(white, rgb{.95, .95, .94})
		c.fill(ellipse(ex, 0.473, 0.0115, 0.0125).and(white), l.eyes)
		c.fill(ellipse(ex, 0.473, 0.0055, 0.0055), rgb{.05, .05, .06})
		c.fill(ellipse(ex-0.004, 0.469, 0.003, 0.003), rgb{1, 1, 1})
		c.shade(box(ex, 0.4615, 0.021, 0.0028, 0.002), 0.003, func(x, y float64) (rgb, float64) { return rgb{.12, .08, .07}, 0.8 })
		brow := ellipse(ex, 0.452, 0.030, 0.020).without(ellipse(ex, 0.460, 0.034, 0.020))
		c.shade(brow, 0.004, func(x, y float64) (rgb, float64) { return l.hair.scale(0.75), 0.9 })
	}
	c.shade(ellipse(0.008, 0.515, 0.010, 0.032), 0.014, func(x, y float64) (rgb, float64) { return l.skin.scale(0.62), 0.35 })
	c.shade(ellipse(-0.003, 0.510, 0.006, 0.028), 0.010, func(x, y float64) (rgb, float64) { return l.skin.scale(1.18), 0.45 })
	c.shade(ellipse(0, 0.541, 0.017, 0.005), 0.006, func(x, y float64) (rgb, float64) { return l.skin.scale(0.5), 0.6 })
	if l.glasses {
		for _, side := range []float64{-1, 1} {
			ring := box(side*0.048, 0.474, 0.037, 0.026, 0.016)
			c.shade(ring, 0, func(x, y float64) (rgb, float64) { return rgb{.9, .95, 1}, 0.12 })
			c.fill(ring.without(box(side*0.048, 0.474, 0.033, 0.022, 0.013)), rgb{.10, .10, .12})
		}
		c.fill(box(0, 0.468, 0.012, 0.003, 0.001), rgb{.10, .10, .12})
	}
}

// paintLids paints closed eyes over the open ones.
func paintLids(c *canvas, l looks) {
	for _, side := range []float64{-1, 1} {
		c.fill(ellipse(side*0.047, 0.473, 0.023, 0.0145), l.skin.scale(0.88))
		c.fill(box(side*0.047, 0.481, 0.021, 0.0025, 0.002), rgb{.15, .10, .09})
	}
}

// paintMouth paints the mouth, open 0 to 1.
func paintMouth(c *canvas, l looks, open float64) {
	lip := l.skin.mix(rgb{.70, .22, .22}, 0.55)
	wide, high := 0.038-0.008*open, 0.007+0.022*open
	y := 0.583 + 0.008*open
	c.fill(ellipse(0, y, wide, high+0.004), lip)
	inner := ellipse(0, y, wide*0.84, max(0.0016, high-0.004))
	c.fill(inner, rgb{.22, .06, .07})
	if open > 0.3 {
		c.fill(box(0, y-high*0.72, wide*0.6, 0.006, 0.003).and(inner), rgb{.94, .93, .90})
		c.fill(ellipse(0, y+high*0.7, wide*0.5, 0.008).and(inner), rgb{.72, .30, .32})
	}
}

// paintDesk paints the edge of the desk and what stands on it.
func paintDesk(c *canvas, l looks, r *rand.Rand) {
	wood := hsl(0.07, 0.35, 0.25+0.2*r.Float64())
	c.shade(shape{-4, 0.93, 4, 1, func(x, y float64) float64 { return 0.93 - y }}, 0, func(x, y float64) (rgb, float64) {
		return wood.scale(1.15 + 0.05*math.Sin(300*y+4*math.Sin(3*x)) - 1.5*(y-0.93)), 1
	})
	side := 1.0
	if r.IntN(2) == 0 {
		side = -1
	}
	mug := hsl(r.Float64(), 0.5, 0.5)
	mx := 0.45 * side
	c.fill(ellipse(mx+0.045*side, 0.89, 0.026, 0.030).without(ellipse(mx+0.045*side, 0.89, 0.015, 0.019)), mug.scale(0.8))
	c.shade(box(mx, 0.89, 0.042, 0.055, 0.012), 0, func(x, y float64) (rgb, float64) { return mug.scale(1.2 - 6*math.Abs(x-mx+0.01)), 1 })
	c.fill(box(-mx, 0.935, 0.11, 0.012, 0.004), rgb{.92, .91, .88})
	c.fill(box(-mx+0.03, 0.918, 0.05, 0.005, 0.003), hsl(r.Float64(), 0.5, 0.4))
}

// Close gives back what the person was painted on. It may be called twice.
func (p *Person) Close() {
	if p.room != nil {
		p.room.Release()
		p.room = nil
	}
}
