package load

import "mixdown/codec"

// The bar code says which frame of whose clip a picture shows, so that its age
// can be told wherever it turns up. It is a panel of 8 x 3 black and white
// blocks, high up in the middle half of the picture: a cover crop to a tile
// from as wide as it is high up to twice as wide keeps it, and a name tag at the
// bottom leaves it alone. In a tile 128 pixels wide a block is 8 x 5 pixels.
//
//	W  i7 i6 i5 i4 i3 i2 B
//	i1 i0 b6 b5 b4 b3 b2 b1
//	B  b0 c4 c3 c2 c1 c0 W
//
// W and B are guards: always white, always black. They are what the other
// blocks are compared with. i is the frame's index in its loop, b the bot, c a
// CRC-5 of both, most significant bit first.
const (
	codeCols = 8
	codeRows = 3

	// The panel without its grey margin, in shares of the picture.
	codeX, codeY = 0.25, 0.06
	codeW, codeH = 0.50, 0.19

	// maxIndex and maxID are the largest numbers that fit.
	maxIndex = 1<<8 - 1
	maxID    = 1<<7 - 1
)

// guards are the blocks whose colour is known, by row and column.
var guards = [...]struct {
	row, col int
	white    bool
}{
	{0, 0, true}, {0, codeCols - 1, false},
	{codeRows - 1, 0, false}, {codeRows - 1, codeCols - 1, true},
}

// Area is a part of a frame, in pixels.
type Area struct {
	X, Y, W, H float64
}

// drawCode paints the code onto f, all of which is one picture.
func drawCode(f *codec.Frame, id, index int) {
	w, h := float64(f.Width), float64(f.Height)
	margin := 0.012 * w
	fillArea(f, Area{codeX*w - margin, codeY*h - margin, codeW*w + 2*margin, codeH*h + 2*margin}, 110)
	bits := codeBits(id, index)
	for row := range codeRows {
		for col := range codeCols {
			y := byte(22)
			if bits>>(codeRows*codeCols-1-row*codeCols-col)&1 == 1 {
				y = 230
			}
			fillArea(f, block(Area{0, 0, w, h}, row, col), y)
		}
	}
}

// readCode reads the code of the picture that fills tile, if need be cropped
// to its middle; aspect is width by height of the picture as it was sent.
func readCode(f *codec.Frame, tile Area, aspect float64) (id, index int, ok bool) {
	if id, index, ok = readAt(f, cover(tile, aspect)); ok {
		return id, index, true
	}
	return readAt(f, contain(tile, aspect))
}

// readAt reads the code of a picture that would fill pic uncropped.
func readAt(f *codec.Frame, pic Area) (id, index int, ok bool) {
	var level [codeRows][codeCols]float64
	for row := range codeRows {
		for col := range codeCols {
			if level[row][col], ok = mean(f, middle(block(pic, row, col))); !ok {
				return 0, 0, false
			}
		}
	}
	white, black := 255.0, 0.0
	for _, g := range guards {
		if l := level[g.row][g.col]; g.white {
			white = min(white, l)
		} else {
			black = max(black, l)
		}
	}
	if white-black < 24 {
		return 0, 0, false
	}
	var bits uint32
	for row := range codeRows {
		for col := range codeCols {
			bits <<= 1
			if level[row][col] > (white+black)/2 {
				bits |= 1
			}
		}
	}
	index = int(bits >> 17 & 0x3f << 2)
	index |= int(bits >> 14 & 3)
	id = int(bits>>8&0x3f)<<1 | int(bits>>6&1)
	return id, index, codeBits(id, index) == bits
}

// codeBits returns the panel's blocks in reading order, the first one in bit 23.
func codeBits(id, index int) uint32 {
	i, b := uint32(index&maxIndex), uint32(id&maxID)
	first := 1<<7 | i>>2<<1               // W i7…i2 B
	second := i&3<<6 | b>>1               // i1 i0 b6…b1
	third := b&1<<6 | crc5(b<<8|i)<<1 | 1 // B b0 c4…c0 W
	return first<<16 | second<<8 | third
}

// crc5 is the CRC-5 of USB (polynomial x^5+x^2+1, all ones first) of 15 bits.
func crc5(data uint32) uint32 {
	crc := uint32(0x1f)
	for bit := 14; bit >= 0; bit-- {
		top := crc>>4 ^ data>>bit&1
		crc = crc << 1 & 0x1f
		if top == 1 {
			crc ^= 0x05
		}
	}
	return crc
}

// block returns the place of one block of a picture that fills pic.
func block(pic Area, row, col int) Area {
	w, h := codeW*pic.W/codeCols, codeH*pic.H/codeRows
	return Area{pic.X + codeX*pic.W + float64(col)*w, pic.Y + codeY*pic.H + float64(row)*h, w, h}
}

// middle returns the part of a that smoothing at its edges leaves alone.
func middle(a Area) Area {
	return Area{a.X + a.W/4, a.Y + a.H/4, a.W / 2, a.H / 2}
}

// cover returns the area of a picture that was enlarged and cropped to fill tile.
func cover(tile Area, aspect float64) Area {
	w, h := max(tile.W, tile.H*aspect), max(tile.H, tile.W/aspect)
	return Area{tile.X + (tile.W-w)/2, tile.Y + (tile.H-h)/2, w, h}
}

// contain returns the area of a picture that stands whole in tile.
func contain(tile Area, aspect float64) Area {
	w, h := min(tile.W, tile.H*aspect), min(tile.H, tile.W/aspect)
	return Area{tile.X + (tile.W-w)/2, tile.Y + (tile.H-h)/2, w, h}
}

// pixels returns the whole pixels nearest to a, at least one each way.
func pixels(a Area) (x0, y0, x1, y1 int) {
	x0, y0 = int(a.X+0.5), int(a.Y+0.5)
	x1, y1 = max(x0+1, int(a.X+a.W+0.5)), max(y0+1, int(a.Y+a.H+0.5))
	return
}

// mean returns the mean luma of an area, or false if it is not all in f.
func mean(f *codec.Frame, a Area) (float64, bool) {
	x0, y0, x1, y1 := pixels(a)
	if x0 < 0 || y0 < 0 || a.X < 0 || a.Y < 0 || x1 > f.Width || y1 > f.Height {
		return 0, false
	}
	sum := 0
	for y := y0; y < y1; y++ {
		for _, v := range f.Y[y*f.YStride+x0 : y*f.YStride+x1] {
			sum += int(v)
		}
	}
	return float64(sum) / float64((x1-x0)*(y1-y0)), true
}

// fillArea paints an area of f, clipped to it, in a grey.
func fillArea(f *codec.Frame, a Area, luma byte) {
	x0, y0, x1, y1 := pixels(a)
	x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, f.Width), min(y1, f.Height)
	for y := y0; y < y1; y++ {
		row := f.Y[y*f.YStride+x0 : y*f.YStride+x1]
		for i := range row {
			row[i] = luma
		}
		if y%2 == 0 {
			u := f.U[y/2*f.UVStride+x0/2 : y/2*f.UVStride+(x1+1)/2]
			v := f.V[y/2*f.UVStride+x0/2 : y/2*f.UVStride+(x1+1)/2]
			for i := range u {
				u[i], v[i] = 128, 128
			}
		}
	}
}
