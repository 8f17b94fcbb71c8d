package waveform

import (
	"testing"

	"mixdown/codec"
)

// Any bytes are packets, in any order with losses and pauses.
func FuzzDecoder(f *testing.F) {
	f.Add(byte(0), []byte{1, 160, 2, 3, 0, 4, 80})
	f.Add(byte(2), []byte("any text is as good as a telephone"))
	f.Add(byte(3), []byte{0, 0, 5, 255, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, which byte, script []byte) {
		format := []Format{PCMU(), PCMA(), G722(), L16()}[which&3]
		out := codec.AudioFormat{Rate: 48000, Channels: 1 + int(which>>2&1)}
		d, err := format.NewDecoder(out)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		pcm := make([]int16, 200*48*2)
		for len(script) > 1 {
			op, n := script[0]&3, min(int(script[1]), len(script)-2)
			packet := script[2:][:n]
			script = script[2+n:]
			switch op {
			case 0, 1:
				want, err := d.Samples(packet)
				if got, derr := d.Decode(packet, pcm); got != want || (err == nil) != (derr == nil) {
					t.Fatalf("%d samples, %v; decoded %d, %v", want, err, got, derr)
				}
			case 2:
				if err := d.Conceal(pcm[:n*out.Channels]); err != nil {
					t.Fatal(err)
				}
			case 3:
				if err := d.(codec.Comforter).Comfort(packet); (err == nil) != (n > 0) {
					t.Fatal(err)
				}
			}
		}
	})
}
