package tcp

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

type count float64

func (c *count) Add(v float64) { *c += count(v) }

const (
	pictureSSRC, soundSSRC = 11, 22
	bitrate                = 300_000
	packetSize             = 1000 // of RTP, without the two bytes of length
	limit                  = bitrate / 8 / 5
)

type rig struct {
	t                         *testing.T
	conn                      *Conn
	client                    net.Conn
	pictures, sounds, control count
	paced                     bool // set before the first picture
}

// newRig connects a Conn with a client that reads nothing by itself: net.Pipe
// has no buffer.
func newRig(t *testing.T) *rig {
	server, client := net.Pipe()
	return newRigOver(t, server, client)
}

func newRigOver(t *testing.T, server, client net.Conn) *rig {
	r := &rig{t: t, client: client}
	r.conn = New(server, Options{
		Packet: Framed,
		Stream: func(ssrc uint32) (Stream, bool) {
			return Stream{Sound: ssrc == soundSSRC, Bitrate: bitrate, Paced: r.paced}, ssrc == soundSSRC || ssrc == pictureSSRC
		},
		Pictures: &r.pictures, Sounds: &r.sounds, Control: &r.control,
	})
	t.Cleanup(func() { _ = r.conn.Close(); _ = client.Close() })
	return r
}

// message frames an RTP packet whose sequence number is its place in a picture.
func message(ssrc, timestamp uint32, i uint16, size int) []byte {
	b := make([]byte, 2+size)
	binary.BigEndian.PutUint16(b, uint16(size))
	b[2], b[3] = 0x80, 96
	binary.BigEndian.PutUint16(b[4:], i)
	binary.BigEndian.PutUint32(b[6:], timestamp)
	binary.BigEndian.PutUint32(b[10:], ssrc)
	return b
}

// picture writes n packets and returns how many were refused.
func (r *rig) picture(timestamp uint32, n int) (refused int) {
	r.t.Helper()
	for i := range n {
		_, err := r.conn.Write(message(pictureSSRC, timestamp, uint16(i), packetSize))
		switch {
		case errors.Is(err, ErrCongested) && errors.Is(err, io.ErrClosedPipe):
			refused++
		case err != nil:
			r.t.Fatal(err)
		}
	}
	return refused
}

func (r *rig) sound(timestamp uint32) {
	r.t.Helper()
	if _, err := r.conn.Write(message(soundSSRC, timestamp, 0, 100)); err != nil {
		r.t.Fatal(err)
	}
}

// read returns the SSRC and the timestamp of the next message.
func (r *rig) read() (ssrc, timestamp uint32) {
	r.t.Helper()
	var head [2]byte
	_ = r.client.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(r.client, head[:]); err != nil {
		r.t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(r.client, b); err != nil {
		r.t.Fatal(err)
	}
	return binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[4:])
}

func TestClientStopsReading(t *testing.T) {
	r := newRig(t)
	const key, delta, frames = 30, 2, 500
	if n := r.picture(0, key); n != 0 {
		t.Fatalf("%d packets of the keyframe refused: it is larger than the backlog, but has to go out", n)
	}
	taken := 0
	for i := uint32(1); i <= frames; i++ {
		switch n := r.picture(i*3000, delta); n {
		case 0:
			taken++
		case delta:
		default:
			t.Fatalf("picture %d: %d of %d packets refused", i, n, delta)
		}
		r.sound(i * 960)
	}
	// What is admitted behind the largest picture: up to the limit, and the
	// picture that goes over it.
	if want := limit/(delta*(packetSize+2)) + 1; taken < want-1 || taken > want+1 {
		t.Errorf("%d pictures taken behind the keyframe, want about %d", taken, want)
	}
	if int(r.pictures) != frames-taken {
		t.Errorf("%v pictures counted as dropped of %d", r.pictures, frames-taken)
	}
	if int(r.sounds) < frames-maxSounds-1 {
		t.Errorf("%v packets of sound dropped of %d", r.sounds, frames)
	}
	if most := key*(packetSize+2) + limit + delta*(packetSize+2) + maxSounds*102; r.conn.Waiting() > most {
		t.Errorf("%d bytes wait, at most %d", r.conn.Waiting(), most)
	}
}

// TestPacedWaits: of a stream whose sender keeps to the pace of the link a second
// may wait, for it is going to send less.
func TestPacedWaits(t *testing.T) {
	r := newRig(t)
	r.paced = true
	taken := 0
	for i := uint32(1); i <= 100; i++ {
		if r.picture(i*3000, 1) == 0 {
			taken++
		}
	}
	if want := bitrate/8/(packetSize+2) + 1; taken < want-1 || taken > want+2 {
		t.Errorf("%d pictures taken, want about %d", taken, want)
	}
}

// TestPacedIsLeftAlone: the kernel's congestion control gives way while pictures keep to a pace,
// and is what it was when they do not.
func TestPacedIsLeftAlone(t *testing.T) {
	known, err := os.ReadFile("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
	if err != nil {
		t.Skip(err)
	}
	names := strings.Fields(string(known))
	i := slices.IndexFunc(names, func(name string) bool { return name != pacedControl })
	if i < 0 {
		t.Skipf("this machine allows %s alone", known)
	}
	usual := names[i]

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r := newRigOver(t, server, client)
	r.conn.socket(func(fd int) {
		if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, usual); err != nil {
			t.Fatal(err)
		}
	})
	for i, paced := range []bool{false, true, false} {
		r.paced = paced
		clear(r.conn.streams) // a second later
		r.picture(uint32(i*3000), 1)
		want := usual
		if paced {
			want = pacedControl
		}
		r.conn.socket(func(fd int) {
			if got, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION); got != want || err != nil {
				t.Errorf("paced %v: the kernel goes by %q, %v, want %q", paced, got, err, want)
			}
		})
	}
}

// TestSoundFirstPicturesWhole: what comes out is sound before pictures, and of
// each picture all or nothing.
func TestSoundFirstPicturesWhole(t *testing.T) {
	r := newRig(t)
	const packets = 4
	admitted := map[uint32]bool{}
	for i := uint32(0); i < 20; i++ {
		admitted[i*3000] = r.picture(i*3000, packets) == 0
	}
	for i := uint32(0); i < 5; i++ {
		r.sound(i)
	}
	want := 0
	for _, ok := range admitted {
		if ok {
			want += packets
		}
	}
	if want == 20*packets || want == 0 {
		t.Fatalf("%d packets admitted of %d: nothing to see", want, 20*packets)
	}
	got := map[uint32]int{}
	for i := range want + 5 {
		ssrc, ts := r.read()
		if ssrc == soundSSRC {
			if i > 5 { // one message was on its way already
				t.Fatalf("sound stands behind %d packets of pictures", i)
			}
			continue
		}
		got[ts]++
	}
	for ts, ok := range admitted {
		if n := got[ts]; ok && n != packets || !ok && n != 0 {
			t.Errorf("picture %d, admitted %t: %d packets of %d came", ts, ok, n, packets)
		}
	}
	// The way is free again.
	if n := r.picture(1_000_000, packets); n != 0 {
		t.Errorf("%d packets refused of an empty queue", n)
	}
}

func TestOversizedPicture(t *testing.T) {
	r := newRig(t)
	const packets = maxPictures/packetSize + 100
	if n := r.picture(1, packets); n == 0 || n == packets {
		t.Fatalf("%d of %d packets refused", n, packets)
	}
	if n := r.conn.Waiting(); n > packetSize+2 {
		t.Errorf("%d bytes of the broken picture stay", n)
	}
	if r.pictures != 1 {
		t.Errorf("%v pictures counted", r.pictures)
	}
}

// TestSentAgain: a repeat of an older packet does not begin a picture.
func TestSentAgain(t *testing.T) {
	r := newRig(t)
	if r.picture(6000, 3) != 0 || r.picture(3000, 1) != 0 || r.picture(6000, 3) != 0 {
		t.Error("refused with a short queue")
	}
	if r.pictures != 0 {
		t.Errorf("%v pictures counted as dropped", r.pictures)
	}
}

func TestOldSoundIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.picture(1, 1) // it holds up the writer
		synctest.Wait()
		for i := range uint32(100) {
			r.sound(i)
			time.Sleep(20 * time.Millisecond)
		}
		if r.sounds < 85 || r.sounds > 95 {
			t.Errorf("%v packets dropped, want all of 100 but the last 200 ms", r.sounds)
		}
		r.read() // the picture
		if _, ts := r.read(); ts < 85 {
			t.Errorf("sound of %d ms ago", (100-ts)*20)
		}
	})
}

// TestStall: a client that takes nothing for long loses its connection, and
// writers learn it.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.picture(1, 1)
		time.Sleep(stall + time.Second)
		if _, err := r.conn.Write([]byte{0, 1, 0}); !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, ErrCongested) {
			t.Errorf("write after a stall: %v", err)
		}
		if err := r.conn.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestControlIsBounded(t *testing.T) {
	r := newRig(t)
	for range 1000 {
		if n, err := r.conn.Write([]byte{0, 2, 0, 1}); n != 4 || err != nil {
			t.Fatal(n, err)
		}
	}
	if r.control < 1000-maxControl-1 {
		t.Errorf("%v dropped", r.control)
	}
}

func TestRelayed(t *testing.T) {
	rtp := message(pictureSSRC, 7, 0, 50)[2:]
	channel := append([]byte{0x40, 1, 0, 50}, rtp...)
	indication := []byte{0, 0x17, 0, 12 + 4 + 52, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	indication = append(indication, 0, 0x12, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7) // XOR-PEER-ADDRESS
	indication = append(append(indication, 0, 0x13, 0, 50), rtp...)
	indication = append(indication, 0, 0)
	for name, m := range map[string][]byte{"channel": append(channel, 0, 0), "indication": indication} {
		if ssrc, ts, ok := parseRTP(Relayed(m)); !ok || ssrc != pictureSSRC || ts != 7 {
			t.Errorf("%s: SSRC %d, timestamp %d, %t", name, ssrc, ts, ok)
		}
		if Relayed(m[:len(m)-8]) != nil {
			t.Errorf("%s: cut off, but read", name)
		}
	}
	if _, _, ok := parseRTP([]byte{0x80, 200, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}); ok {
		t.Error("RTCP taken for RTP")
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(message(1, 2, 3, 40))
	f.Add([]byte{0x40, 1, 0, 4, 1, 2, 3, 4})
	f.Add([]byte{0, 0x17, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0x13, 0, 1, 9, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, packet := range []func([]byte) []byte{Framed, Relayed} {
			p := packet(b)
			if len(p) > len(b) {
				t.Fatalf("%d bytes out of %d", len(p), len(b))
			}
			parseRTP(p)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	server, client := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, client) }()
	var none count
	c := New(server, Options{Packet: Framed, Stream: func(uint32) (Stream, bool) { return Stream{Bitrate: 1 << 40}, true }, Pictures: &none, Sounds: &none, Control: &none})
	defer c.Close()
	m := message(pictureSSRC, 1, 0, 1100)
	b.ReportAllocs()
	for i := range b.N {
		binary.BigEndian.PutUint32(m[6:], uint32(i/4))
		_, _ = c.Write(m)
	}
}
