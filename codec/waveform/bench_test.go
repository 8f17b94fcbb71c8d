package waveform

import (
	"testing"
	"time"

	"mixdown/codec"
)

// BenchmarkPacket codes and decodes 20 ms at the room's rate.
func BenchmarkPacket(b *testing.B) {
	for _, f := range []Format{PCMU(), PCMA(), G722(), L16()} {
		format := codec.AudioFormat{Rate: 48000, Channels: 1}
		e, err := f.NewEncoder(codec.AudioConfig{AudioFormat: format, Bitrate: 64000, Frame: 20 * time.Millisecond})
		if err != nil {
			b.Fatal(err)
		}
		d, err := f.NewDecoder(format)
		if err != nil {
			b.Fatal(err)
		}
		sound := sounds(48000)
		var packet []byte
		b.Run(f.name+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				packet, _ = e.Encode(sound[i%90*960:][:960])
			}
		})
		pcm := make([]int16, 960)
		b.Run(f.name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(packet, pcm); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(f.name+"/conceal", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d.Conceal(pcm) != nil || func() error { _, err := d.Decode(packet, pcm); return err }() != nil {
					b.Fatal()
				}
			}
		})
	}
}
