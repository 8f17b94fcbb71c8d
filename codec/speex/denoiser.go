// Package speex takes noise out of speech with the preprocessor of libspeexdsp.
package speex

/*
#cgo pkg-config: speexdsp
#include <speex/speex_preprocess.h>
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// suppress is how much noise is turned down at most, dB. More makes what is
// left of it tinkle.
const suppress = -18

// Denoiser suppresses the noise of one sender: what stays the same while speech
// changes. It is used from one goroutine at a time.
type Denoiser struct {
	states []*C.SpeexPreprocessState // one a channel
	frame  int                       // samples per channel
	lane   []int16                   // one channel of several
}

// NewDenoiser opens a denoiser for frames of 20 ms at a rate of 8000 to
// 48000 Hz with one or two channels, interleaved.
func NewDenoiser(rate, channels int) (*Denoiser, error) {
	if rate < 8000 || rate > 48000 || rate%50 != 0 || channels < 1 || channels > 2 {
		return nil, fmt.Errorf("speex denoiser of %d Hz, %d channels: want 8000 to 48000 Hz in 1 or 2 channels", rate, channels)
	}
	d := &Denoiser{frame: rate / 50}
	if channels > 1 {
		d.lane = make([]int16, d.frame)
	}
	for range channels {
		st := C.speex_preprocess_state_init(C.int(d.frame), C.int(rate))
		if st == nil {
			d.Close()
			return nil, fmt.Errorf("speex denoiser of %d Hz: out of memory", rate)
		}
		d.states = append(d.states, st)
		on, level := C.spx_int32_t(1), C.spx_int32_t(suppress)
		C.speex_preprocess_ctl(st, C.SPEEX_PREPROCESS_SET_DENOISE, unsafe.Pointer(&on))
		C.speex_preprocess_ctl(st, C.SPEEX_PREPROCESS_SET_NOISE_SUPPRESS, unsafe.Pointer(&level))
	}
	return d, nil
}

// Process takes one frame and changes it in place. What has another length, or
// comes after Close, stays as it is.
func (d *Denoiser) Process(pcm []int16) {
	channels := len(d.states)
	if channels == 0 || len(pcm) != d.frame*channels {
		return
	}
	if channels == 1 {
		C.speex_preprocess_run(d.states[0], (*C.spx_int16_t)(&pcm[0]))
		return
	}
	for c, st := range d.states {
		for i := range d.lane {
			d.lane[i] = pcm[i*channels+c]
		}
		C.speex_preprocess_run(st, (*C.spx_int16_t)(&d.lane[0]))
		for i, v := range d.lane {
			pcm[i*channels+c] = v
		}
	}
}

// Close may be called twice.
func (d *Denoiser) Close() {
	for _, st := range d.states {
		C.speex_preprocess_state_destroy(st)
	}
	d.states = nil
}
