package compositor

import (
	"mixdown/codec"
	"mixdown/codec/yuv"
)

// YUV is the Scaler of the server: libyuv.
type YUV struct{}

// Scale implements Scaler.
func (YUV) Scale(dst *codec.Frame, to Rect, src *codec.Frame, from Rect) error {
	return yuv.Scale(dst, to.X, to.Y, to.W, to.H, src, from.X, from.Y, from.W, from.H)
}
