package link

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// start is the moment at which virtual clocks begin.
var start = time.Unix(1_000_000, 0)

func ms(n float64) time.Time { return start.Add(time.Duration(n * float64(time.Millisecond))) }

func packet(n, size int) []byte {
	p := make([]byte, size)
	binary.BigEndian.PutUint32(p[size-4:], uint32(n))
	return p
}

type arrival struct {
	at time.Time
	n  int
}

// drain runs the clock from event to event up to end.
func drain(s *Shaper, end time.Time) (out []arrival) {
	for {
		at, ok := s.Next()
		if !ok || at.After(end) {
			return out
		}
		for {
			p, ok := s.Pop(at)
			if !ok {
				break
			}
			out = append(out, arrival{at, int(binary.BigEndian.Uint32(p[len(p)-4:]))})
		}
	}
}

func TestRateAndDelay(t *testing.T) {
	s := NewShaper(Shape{Rate: 100_000, Delay: 50 * time.Millisecond, Bytes: 10_000}, 1)
	for i := range 4 {
		s.Push(start, packet(i, 1250)) // 100 ms each
	}
	got := drain(s, ms(10_000))
	for i, want := range []float64{150, 250, 350, 450} {
		if len(got) != 4 || got[i].n != i || !got[i].at.Equal(ms(want)) {
			t.Fatalf("packet %d of %d at %v, want %v", i, len(got), got[i].at.Sub(start), want)
		}
	}
	c := s.Counters(ms(10_000))
	if c.OutBytes != 5000 || c.OutPackets != 4 || c.InBytes != 5000 || c.Dropped+c.Lost != 0 {
		t.Errorf("%d in, %d out, %d dropped", c.InBytes, c.OutBytes, c.Dropped)
	}
	// The first did not wait, the last for three others.
	if c.Wait(0) != 0 || c.Wait(0.5) != 100*time.Millisecond || c.Wait(1) != 300*time.Millisecond {
		t.Errorf("waited %v, %v, %v", c.Wait(0), c.Wait(0.5), c.Wait(1))
	}
	// Who comes after a pause finds the link free.
	s.Push(ms(20_000), packet(9, 1250))
	if got := drain(s, ms(30_000)); len(got) != 1 || !got[0].at.Equal(ms(20_150)) {
		t.Errorf("after a pause: %v", got)
	}
}

func TestNoLimitsPassAtOnce(t *testing.T) {
	s := NewShaper(Shape{}, 1)
	for i := range 1000 {
		s.Push(start, packet(i, 1500))
	}
	if got := drain(s, start); len(got) != 1000 || got[999].n != 999 {
		t.Errorf("%d of 1000 passed at once", len(got))
	}
}

func TestQueueIsBounded(t *testing.T) {
	// 200 ms at 400 kb/s are 10,000 bytes: ten packets wait, one is being sent.
	s := NewShaper(Shape{Rate: 400_000, Queue: 200 * time.Millisecond}, 1)
	for i := range 50 {
		s.Push(start, packet(i, 1000))
	}
	c := s.Counters(start)
	if c.Dropped != 39 || c.Waiting != 10_000 {
		t.Errorf("%d dropped, %d bytes wait", c.Dropped, c.Waiting)
	}
	got := drain(s, ms(10_000))
	if len(got) != 11 || got[10].n != 10 {
		t.Errorf("%d arrived: not the first that came", len(got))
	}
	if c = s.Counters(ms(10_000)); c.Wait(1) != 200*time.Millisecond {
		t.Errorf("the longest wait was %v", c.Wait(1))
	}
	// However slow the link is, a few packets fit.
	s = NewShaper(Shape{Rate: 10_000, Queue: 10 * time.Millisecond}, 1)
	for i := range 50 {
		s.Push(start, packet(i, 1000))
	}
	if got := drain(s, ms(100_000)); len(got) != 1+defaultBytes/1000 {
		t.Errorf("%d arrived", len(got))
	}
}

func TestRateSteps(t *testing.T) {
	s := NewShaper(Shape{Rate: 1_000_000, Bytes: 1 << 20}, 1)
	for i := range 100 {
		s.Push(start, packet(i, 1250)) // 10 ms each
	}
	got := drain(s, ms(195))
	s.Set(ms(195), Shape{Rate: 100_000, Bytes: 1 << 20}) // half of one is sent, the other half takes 50 ms
	got = append(got, drain(s, ms(1195))...)
	s.Set(ms(1195), Shape{Rate: 1_000_000, Bytes: 1 << 20})
	got = append(got, drain(s, ms(10_000))...)
	if len(got) != 100 {
		t.Fatalf("%d arrived", len(got))
	}
	for n, want := range map[int]float64{0: 10, 18: 190, 19: 245, 20: 345, 28: 1145, 29: 1200, 30: 1210, 99: 1900} {
		if d := got[n].at.Sub(ms(want)); d.Abs() > time.Microsecond {
			t.Errorf("packet %d is %v off", n, d)
		}
	}
	// A shorter queue drops from its end, no limit sends all at once.
	for i := range 10 {
		s.Push(ms(10_000), packet(i, 1250))
	}
	s.Set(ms(10_000), Shape{Rate: 1_000_000, Bytes: 2500})
	if c := s.Counters(ms(10_000)); c.Dropped != 7 || c.Waiting != 2500 {
		t.Errorf("%d dropped, %d wait", c.Dropped, c.Waiting)
	}
	s.Set(ms(10_000), Shape{})
	if got := drain(s, ms(10_000)); len(got) != 3 {
		t.Errorf("%d passed at once", len(got))
	}
}

// losses sends n packets and returns which arrived.
func losses(shape Shape, seed uint64, n int) []bool {
	s := NewShaper(shape, seed)
	arrived := make([]bool, n)
	for i := range n {
		s.Push(ms(float64(i)), packet(i, 100))
		for _, a := range drain(s, ms(float64(i))) {
			arrived[a.n] = true
		}
	}
	return arrived
}

func TestLoss(t *testing.T) {
	const n = 200_000
	for _, c := range []struct {
		loss, burst float64
		mean        float64 // packets lost in a row
	}{{0.02, 0, 1 / 0.98}, {0.20, 0, 1.25}, {0.10, 5, 5}, {0.05, 20, 20}, {1, 0, n}, {1, 7, n}} {
		arrived := losses(Shape{Loss: c.loss, Burst: c.burst}, 7, n)
		lost, bursts := 0, 0
		for i, ok := range arrived {
			if !ok {
				lost++
				if i == 0 || arrived[i-1] {
					bursts++
				}
			}
		}
		if got := float64(lost) / n; math.Abs(got-c.loss) > 0.1*c.loss {
			t.Errorf("loss %g burst %g: lost %g", c.loss, c.burst, got)
		}
		if got := float64(lost) / float64(bursts); math.Abs(got-c.mean) > 0.1*c.mean {
			t.Errorf("loss %g burst %g: %g in a row", c.loss, c.burst, got)
		}
	}
	a, b, c := losses(Shape{Loss: 0.2}, 3, 1000), losses(Shape{Loss: 0.2}, 3, 1000), losses(Shape{Loss: 0.2}, 4, 1000)
	same, other := 0, 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
		if a[i] == c[i] {
			other++
		}
	}
	if same != 1000 || other == 1000 {
		t.Errorf("one seed agrees with itself in %d of 1000, with another in %d", same, other)
	}
}

func TestLostPacketsTakeTheirTime(t *testing.T) {
	s := NewShaper(Shape{Rate: 100_000, Loss: 1}, 1)
	s.Push(start, packet(0, 1250))
	s.Push(start, packet(1, 1250))
	s.Set(ms(50), Shape{Rate: 100_000, Loss: 1})
	drain(s, ms(150))
	s.Set(ms(150), Shape{Rate: 100_000})
	if got := drain(s, ms(1000)); len(got) != 1 || got[0].n != 1 || !got[0].at.Equal(ms(200)) {
		t.Errorf("%v", got)
	}
	if c := s.Counters(ms(1000)); c.Lost != 1 || c.SentBytes != 2500 || c.OutBytes != 1250 {
		t.Errorf("%d lost, %d bytes sent, %d out", c.Lost, c.SentBytes, c.OutBytes)
	}
}

func TestJitter(t *testing.T) {
	for _, reorder := range []bool{false, true} {
		s := NewShaper(Shape{Delay: 20 * time.Millisecond, Jitter: 100 * time.Millisecond, Reorder: reorder}, 5)
		early, late, turned := 0, 0, 0
		var got []arrival
		for i := range 2000 {
			s.Push(ms(float64(i)*5), packet(i, 200))
			got = append(got, drain(s, ms(float64(i)*5))...)
		}
		got = append(got, drain(s, ms(20_000))...)
		for i, a := range got {
			d := a.at.Sub(ms(float64(a.n) * 5))
			if d < 20*time.Millisecond || d > 120*time.Millisecond {
				t.Fatalf("packet %d took %v", a.n, d)
			}
			if d < 45*time.Millisecond {
				early++
			}
			if d > 95*time.Millisecond {
				late++
			}
			if i > 0 && a.n < got[i-1].n {
				turned++
			}
		}
		if len(got) != 2000 || late == 0 || reorder && early == 0 {
			t.Errorf("reorder %v: %d arrived, %d early, %d late", reorder, len(got), early, late)
		}
		if reorder != (turned > 0) {
			t.Errorf("reorder %v: %d came before one sent earlier", reorder, turned)
		}
	}
}

func TestOutage(t *testing.T) {
	shape := Shape{Rate: 100_000, Delay: 100 * time.Millisecond}
	s := NewShaper(shape, 1)
	s.Push(start, packet(0, 1250)) // sent by 100, on the way at 150
	s.Push(start, packet(1, 1250))
	cut := shape
	cut.Cut = true
	s.Set(ms(150), cut)
	s.Push(ms(160), packet(2, 1250))
	if got := drain(s, ms(1000)); len(got) != 0 {
		t.Errorf("%v during the outage", got)
	}
	s.Set(ms(1000), shape)
	s.Push(ms(1000), packet(3, 1250))
	if got := drain(s, ms(5000)); len(got) != 1 || got[0].n != 3 || !got[0].at.Equal(ms(1200)) {
		t.Errorf("%v after it", got)
	}
	if c := s.Counters(ms(5000)); c.Cut != 3 {
		t.Errorf("%d were cut off", c.Cut)
	}
}

// ip returns a packet of IP version v with a transport's ports.
func ip(v, protocol, from, to int) []byte {
	head := 20
	if v == 6 {
		head = 40
	}
	p := make([]byte, head+8)
	if v == 4 {
		p[0], p[9] = 0x45, byte(protocol)
	} else {
		p[0], p[6] = 0x60, byte(protocol)
	}
	binary.BigEndian.PutUint16(p[head:], uint16(from))
	binary.BigEndian.PutUint16(p[head+2:], uint16(to))
	return p
}

func TestBlock(t *testing.T) {
	for _, v := range []int{4, 6} {
		for _, c := range []struct {
			block              Block
			protocol, from, to int
			passes             bool
		}{
			{Block{}, protoUDP, 5000, 443, true},
			{Block{UDP: true}, protoUDP, 5000, 443, false},
			{Block{UDP: true}, protoTCP, 5000, 80, true},
			{Block{TCP: 443}, protoTCP, 5000, 443, true},
			{Block{TCP: 443}, protoTCP, 443, 5000, true},
			{Block{TCP: 443}, protoTCP, 5000, 7882, false},
			{Block{TCP: 443}, protoUDP, 5000, 443, false},
			{Block{TCP: 443}, 1, 0, 0, false},
		} {
			s := NewShaper(Shape{Block: c.block}, 1)
			s.Push(start, ip(v, c.protocol, c.from, c.to))
			_, passes := s.Pop(start)
			if n := s.Counters(start).Blocked; passes != c.passes || (n == 0) != c.passes {
				t.Errorf("IPv%d %+v: passes %v, %d blocked", v, c, passes, n)
			}
		}
	}
	// What is no IP packet is no reason to stop.
	for _, junk := range [][]byte{{}, {0x45}, {0x60, 1, 2}, {0xff, 0, 0}, make([]byte, 30)} {
		s := NewShaper(Shape{Block: Block{TCP: 443}}, 1)
		s.Push(start, junk)
	}
}

func TestChange(t *testing.T) {
	s, err := Shape{Cut: false}.Change([]string{"rate=150k", "delay=50ms", "jitter=20ms", "loss=2%", "burst=5", "queue=300ms", "bytes=7000", "reorder=on", "block=tcp:443"})
	want := Shape{
		Rate: 150_000, Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.02, Burst: 5,
		Queue: 300 * time.Millisecond, Bytes: 7000, Reorder: true, Block: Block{TCP: 443},
	}
	if err != nil || s != want {
		t.Fatalf("%+v %v", s, err)
	}
	if again, err := (Shape{}).Change([]string{"clean"}); err != nil || again != (Shape{}) {
		t.Error(again, err)
	}
	if s, err = s.Change([]string{"rate=1.5M", "block=none"}); err != nil || s.Rate != 1_500_000 || s.Delay != want.Delay || s.Block != (Block{}) {
		t.Errorf("%+v %v", s, err)
	}
	for _, bad := range []string{"rate", "rate=fast", "rate=10", "rate=-5k", "loss=200%", "loss=-1", "delay=5", "delay=-5ms", "block=icmp", "block=tcp:99999", "colour=red"} {
		if _, err := (Shape{}).Change([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if _, err := (Shape{}).Change([]string{"loss=95%", "burst=3"}); err == nil {
		t.Error("bursts without a packet between them are accepted")
	}
}

func TestCountersSince(t *testing.T) {
	s := NewShaper(Shape{Rate: 100_000, Bytes: 10_000}, 1)
	s.Push(start, packet(0, 1250))
	s.Push(start, packet(1, 1250)) // waits 100 ms
	drain(s, ms(1000))
	before := s.Counters(ms(1000))
	s.Push(ms(1000), packet(2, 1250))
	drain(s, ms(2000))
	c := s.Counters(ms(2000)).Since(before)
	if c.InPackets != 1 || c.OutBytes != 1250 || c.Wait(1) != 0 {
		t.Errorf("%d in, %d out, waited %v", c.InPackets, c.OutBytes, c.Wait(1))
	}
}

func TestKinds(t *testing.T) {
	udp := func(payload ...byte) []byte {
		p := make([]byte, 28, 60)
		p[0], p[9] = 0x45, protoUDP
		return append(append(p, payload...), make([]byte, 12)...)
	}
	tcp := make([]byte, 40)
	tcp[0], tcp[9] = 0x45, protoTCP
	six := make([]byte, 60)
	six[0], six[6], six[48], six[49] = 0x60, protoUDP, 0x80, 0x80|payloadOpus
	s := NewShaper(Shape{}, 1)
	sizes := map[Kind]int64{}
	for _, c := range []struct {
		packet []byte
		want   Kind
	}{
		{udp(0x80, payloadOpus), Sound}, {udp(0x90, 0x80|payloadRED), Sound}, {six, Sound}, {udp(0x90, 96), Pictures}, {udp(0x80, 200), RTCP}, {udp(0x8f, 205), RTCP},
		{udp(0, 1), STUN}, {udp(22, 254), DTLS}, {tcp, TCP}, {udp(0x40, 0), Other}, {[]byte{1, 2, 3}, Other}, {nil, Other},
	} {
		if got := kindOf(c.packet); got != c.want {
			t.Errorf("%x: %v, want %v", c.packet, got, c.want)
		}
		s.Push(start, c.packet)
		sizes[c.want] += int64(len(c.packet))
	}
	before := s.Counters(start)
	for k, want := range sizes {
		if before.Of[k] != want {
			t.Errorf("%v: %d bytes, want %d", k, before.Of[k], want)
		}
	}
	s.Push(start, tcp)
	if d := s.Counters(start).Since(before); d.Of[TCP] != 40 || d.Of[Sound] != 0 || d.Plus(d).Of[TCP] != 80 {
		t.Errorf("since: %v", d.Of)
	}
}
