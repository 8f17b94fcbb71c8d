package main

import (
	"testing"
	"time"

	"mixdown/codec/catalog"
)

// At 100 kb/s the speaker's tile of nine gains by the others' being drawn once
// a second, which are as sharp as before, and none of them is old.
func TestAttentionPays(t *testing.T) {
	p := newParty(people, 3*fps, fps)
	defer p.close()
	p.sample = 3
	for name, least := range map[string]float64{"H264": 1.5, "VP8": 0.6} {
		j := job{codec: catalog.Default().Find(name), width: 480, height: 270, bitrate: 100_000, layers: 1}
		uniform, err := p.play(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		j.attentive = true
		attentive, err := p.play(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(uniform)
		t.Log(attentive)
		if gain := attentive.speaker.psnr - uniform.speaker.psnr; gain < least || attentive.speaker.ssim <= uniform.speaker.ssim {
			t.Errorf("%s: the speaker's tile gains %.1f dB, SSIM %.4f from %.4f", name, gain, attentive.speaker.ssim, uniform.speaker.ssim)
		}
		if attentive.speaker.psnr < 33 || attentive.sharp.psnr < uniform.sharp.psnr {
			t.Errorf("%s: speaker %.1f dB, others as drawn %.1f, before %.1f", name, attentive.speaker.psnr, attentive.sharp.psnr, uniform.sharp.psnr)
		}
		if attentive.worstAge > 4*time.Second || attentive.every != fps {
			t.Errorf("%s: every %d pictures, the oldest tile %v", name, attentive.every, attentive.worstAge)
		}
		if attentive.kbps > 1.15*100 {
			t.Errorf("%s: %.0f kb/s", name, attentive.kbps)
		}
	}
}
