package codectest

import (
	"math"
	"testing"

	"mixdown/codec"
)

// audioBand sends a tone at the end of the band, which has to come out, alone:
// what resampling mirrors is foreign. Tones beyond half of a coder's own rate
// have nowhere to be.
func audioBand(t *testing.T, row *codec.Codec, band float64) {
	const level, frames = -12, 60
	through := func(hz float64) []int16 {
		e, d := audioEncoder(t, row, speech(1)), audioDecoder(t, row, 1)
		var heard []int16
		pcm := make([]int16, values)
		for i := range frames {
			if _, err := d.Decode(packet(t, e, Tone(rate, hz, level, i*values, values)), pcm); err != nil {
				t.Fatal(err)
			}
			heard = append(heard, pcm...)
		}
		return heard[len(heard)/2:]
	}
	heard := through(band)
	if l := ToneLevel(heard, rate, band); math.Abs(l-level) > 3 {
		t.Errorf("%v Hz at %.1f dBFS, want %d", band, l, level)
	}
	if row.Channels > 1 {
		return
	}
	// Twice the distance from the band's end is beyond a sampling of 2.35 of it.
	sampled := band * 8 / 3.4 // 8000 of 3400, 16000 of 6800
	if l := ToneLevel(heard, rate, sampled-band); l > level-45 {
		t.Errorf("%v Hz comes mirrored to %v at %.1f dBFS", band, sampled-band, l)
	}
	beyond := through(sampled * .75)
	if l := ToneLevel(beyond, rate, sampled*.25); l > level-45 {
		t.Errorf("%v Hz comes as %v at %.1f dBFS", sampled*.75, sampled*.25, l)
	}
}

// audioFollow changes over to another encoder in the middle of a tone. A decoder
// must not hear it more than coding itself.
func audioFollow(t *testing.T, row *codec.Codec) {
	a, b := audioEncoder(t, row, speech(1)), audioEncoder(t, row, speech(1))
	f, ok := b.(codec.Follower)
	if !ok {
		t.Skip("the encoder does not follow")
	}
	d, other := audioDecoder(t, row, 1), audioDecoder(t, row, 1)
	want, got := make([]int16, values), make([]int16, values)
	for i := range 40 {
		tone := Tone(rate, 440, -12, i*values, values)
		stays := packet(t, a, tone)
		if i == 20 {
			// The other one has heard something else until now; both code this once more.
			for range 3 {
				packet(t, b, Tone(rate, 1000, -3, 0, values))
			}
			if err := f.Follow(a); err != nil {
				t.Fatal(err)
			}
		}
		goes := stays
		if i > 20 {
			goes = packet(t, b, tone)
		}
		if _, err := d.Decode(stays, want); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Decode(goes, got); err != nil {
			t.Fatal(err)
		}
		for k := range want {
			if want[k] != got[k] {
				t.Fatalf("packet %d: sample %d is %d, and %d from who follows", i, k, want[k], got[k])
			}
		}
	}
	if f.Follow(nil) == nil {
		t.Error("follows nothing")
	}
}
