package ffmpeg

/*
#cgo pkg-config: libavcodec libavutil
#include <libavutil/frame.h>
#include <libavutil/pixdesc.h>

// plane_size returns how many bytes of a plane may be read, whole rows with
// their strides where the buffer has them.
static size_t plane_size(AVFrame *f, int i, int width, int height)
{
	size_t rows = (size_t)f->linesize[i] * height;
	AVBufferRef *b = av_frame_get_plane_buffer(f, i);
	if (!b)
		return rows - f->linesize[i] + width;
	size_t left = b->data + b->size - f->data[i];
	return left < rows ? left : rows;
}
*/
import "C"

import (
	"fmt"
	"unsafe"

	"mixdown/codec"
)

// view hands out a frame's planes as they are; free frees it. The result owns it
// from then on, also when there is an error.
func view(c *C.AVFrame, free func()) (*codec.Frame, error) {
	full := c.color_range == C.AVCOL_RANGE_JPEG
	switch c.format {
	case C.AV_PIX_FMT_YUV420P:
	case C.AV_PIX_FMT_YUVJ420P:
		full = true
	default:
		name := C.GoString(C.av_get_pix_fmt_name(int32(c.format)))
		free()
		return nil, fmt.Errorf("pixel format %s is not supported, only 8-bit 4:2:0 (yuv420p, yuvj420p)", name)
	}
	if c.width <= 0 || c.height <= 0 || c.linesize[0] <= 0 || c.linesize[1] <= 0 || c.linesize[1] != c.linesize[2] {
		free()
		return nil, fmt.Errorf("picture of %dx%d with strides %v", c.width, c.height, c.linesize[:3])
	}
	f := codec.WrapFrame(free)
	f.Width, f.Height = int(c.width), int(c.height)
	f.YStride, f.UVStride = int(c.linesize[0]), int(c.linesize[1])
	f.FullRange = full
	cw, ch := (c.width+1)/2, (c.height+1)/2
	f.Y = plane(c, 0, c.width, c.height)
	f.U = plane(c, 1, cw, ch)
	f.V = plane(c, 2, cw, ch)
	return f, nil
}

// plane views one plane in libav's memory.
func plane(c *C.AVFrame, i int, width, height C.int) []byte {
	return unsafe.Slice((*byte)(c.data[i]), C.plane_size(c, C.int(i), width, height))
}
