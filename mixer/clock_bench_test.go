package mixer

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

// BenchmarkClockUnderLoad reports how late the 20 ms clock of the sound is,
// p50 and p99 in ms, while encoders keep every core busy. It runs in real time:
// an iteration is 250 ticks, five seconds. Sub-benchmarks show what the two rules of the
// machine room are worth: threads to spare for cgo, and who comes first.
func BenchmarkClockUnderLoad(b *testing.B) {
	cores := runtime.NumCPU()
	for _, c := range []struct {
		name  string
		procs int
		rank  bool
	}{
		{"procs=cores", cores, false},
		{"procs=cores+encoders", 3 * cores, false},
		{"procs=cores+encoders,ranked", 3 * cores, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.procs))
			ctx, cancel := context.WithCancel(context.Background())
			var encoders sync.WaitGroup
			for range 2 * cores {
				encoders.Go(func() { encodeUntil(ctx, b, c.rank) })
			}
			var late []time.Duration
			var clock sync.WaitGroup
			clock.Go(func() { late = tick(ctx, 250*b.N, c.rank) })
			clock.Wait()
			cancel()
			encoders.Wait()
			slices.Sort(late)
			ms := func(share float64) float64 {
				return late[int(share*float64(len(late)-1))].Seconds() * 1000
			}
			b.ReportMetric(ms(.5), "p50-ms-late")
			b.ReportMetric(ms(.99), "p99-ms-late")
			b.ReportMetric(ms(1), "max-ms-late")
		})
	}
}

// tick returns how late each of n ticks was, as the sound clock does it or on
// an ordinary thread.
func tick(ctx context.Context, n int, rank bool) (late []time.Duration) {
	sleep := timerSleep
	if rank {
		sleep = soundThread()
	} else {
		runtime.LockOSThread()
	}
	clock := newClock(time.Now(), soundTick, sleep)
	for range n {
		deadline, _, ok := clock.wait(ctx, soundSlack)
		if !ok {
			break
		}
		late = append(late, time.Since(deadline))
	}
	return late
}

func encodeUntil(ctx context.Context, b *testing.B, rank bool) {
	if rank {
		mediaThread()
	}
	enc, err := codecs.Find("VP8").NewVideoEncoder(codec.VideoConfig{Width: 1280, Height: 720, FPS: 25, Bitrate: 1_500_000})
	if err != nil {
		b.Error(err)
		return
	}
	defer enc.Close()
	var frames []*codec.Frame
	for i := range 4 {
		f := codectest.MovingPicture(1280, 720, 9*i)
		defer f.Release()
		frames = append(frames, f)
	}
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := enc.Encode(frames[i%len(frames)], time.Duration(i)*40*time.Millisecond, false); err != nil {
			b.Error(err)
			return
		}
	}
}
