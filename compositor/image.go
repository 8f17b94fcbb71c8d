package compositor

import (
	"image"

	"mixdown/codec/yuv"
)

// Image returns a copy of the canvas as it is now.
func (p *Picture) Image() (image.Image, error) { return yuv.ToImage(p.Frame()) }
