package load

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
	"mixdown/codec/catalog"
)

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name string
		seqs []uint16
		lost uint64
	}{
		{"in order, over the wrap", []uint16{65534, 65535, 0, 1}, 0},
		{"a hole", []uint16{10, 11, 14}, 2},
		{"a hole that is repaired", []uint16{10, 11, 14, 13, 12}, 0},
		{"repeats", []uint16{10, 11, 11, 10, 12}, 0},
		{"a repaired hole over the wrap", []uint16{65535, 1, 0}, 0},
		{"before the first", []uint16{10, 9, 8, 11}, 0},
		{"a jump", []uint16{10, 10 + 6000}, 5999},
		{"too late", []uint16{10, 12, 10 + 6000, 11}, 5998},
	} {
		w := window{}
		for _, s := range c.seqs {
			w.take(s)
		}
		if got := w.lost(); got != c.lost {
			t.Errorf("%s: %d lost, want %d", c.name, got, c.lost)
		}
	}
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, unique := window{}, int64(0)
		for ; len(b) >= 2; b = b[2:] {
			if _, repeat := w.take(binary.BigEndian.Uint16(b)); !repeat {
				unique++
			}
		}
		if w.unique != unique || w.highest-w.base+1 < unique {
			t.Errorf("%d of %d to %d are unique, counted %d", w.unique, w.base, w.highest, unique)
		}
	})
}

func TestReceiverCounts(t *testing.T) {
	start := time.Unix(1_795_000_000, 0)
	video := &Receiver{kind: codec.Video}
	seq := uint16(65000)
	for frame := range 101 {
		for part := range 3 {
			seq++
			if frame == 50 && part == 1 {
				continue // lost
			}
			h := &rtp.Header{SequenceNumber: seq, Marker: part == 2}
			video.Take(h, 1000, 988, start.Add(time.Duration(frame)*40*time.Millisecond))
		}
	}
	now := start.Add(4 * time.Second)
	c := video.Counts(now)
	if c.Frames != 101 || c.Packets != 302 || c.Lost != 1 || c.Gaps != 1 || c.GapMillis != 40 || c.FPS() != 25 {
		t.Errorf("%+v, %.2f fps", c, c.FPS())
	}
	if got := c.Kbps(); got < 603 || got > 605 {
		t.Errorf("%.1f kb/s", got)
	}
	if c = video.Counts(now.Add(time.Second)); c.GapMillis != 1000 {
		t.Errorf("standing still for a second is a gap of %d ms", c.GapMillis)
	}
	forgotten := &Receiver{kind: codec.Video}
	for i, seq := range []uint16{10, 12, 14, 13, 15} { // 11 never comes
		if i == 3 {
			forgotten.Forget()
		}
		forgotten.Take(&rtp.Header{SequenceNumber: seq, Marker: true}, 100, 88, now.Add(time.Duration(i)*40*time.Millisecond))
	}
	if c = forgotten.Counts(now); c.Lost != 0 || c.Frames != 1 || c.GapMillis != 80 {
		t.Errorf("what came after it was told to forget: %+v", c)
	}
	video.Restart()
	video.Take(&rtp.Header{SequenceNumber: 7, Marker: true}, 100, 88, now.Add(time.Minute))
	if c = video.Counts(now.Add(time.Minute)); c.Lost != 1 || c.GapMillis != 40 {
		t.Errorf("after another session: %+v", c)
	}

	audio := &Receiver{kind: codec.Audio}
	for i, at := range []int{0, 20, 40, 60, 121, 141, 160} {
		audio.Take(&rtp.Header{SequenceNumber: uint16(i)}, 90, 78, start.Add(time.Duration(at)*time.Millisecond))
	}
	audio.Take(&rtp.Header{SequenceNumber: 3}, 90, 78, start.Add(161*time.Millisecond))
	if c := audio.Counts(start.Add(161 * time.Millisecond)); c.Late != 1 || c.Lost != 0 || c.Repeats != 1 || c.GapMillis != 61 {
		t.Errorf("sound: %+v", c)
	}
}

// packets cuts units of made-up VP8 into packets.
func packets(t testing.TB, units [][]byte, first uint16) []*rtp.Packet {
	t.Helper()
	vp8 := catalog.Default().Find("VP8")
	cut := vp8.Payload.NewPacketizer()
	var out []*rtp.Packet
	for i, u := range units {
		payloads, err := cut.Packetize(codec.Unit{Codec: vp8, Data: u}, 100)
		if err != nil {
			t.Fatal(err)
		}
		for k, p := range payloads {
			h := rtp.Header{SequenceNumber: first, Timestamp: uint32(i * 3600), Marker: k == len(payloads)-1}
			out = append(out, &rtp.Packet{Header: h, Payload: p})
			first++
		}
	}
	return out
}

// units are a keyframe and others by VP8's first bit (RFC 6386, section 9.1).
func units(n, keyEvery int) [][]byte {
	var out [][]byte
	for i := range n {
		u := bytes.Repeat([]byte{byte(i)}, 350)
		u[0] = 1
		if i%keyEvery == 0 {
			copy(u, []byte{0, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 36, 0})
		}
		out = append(out, u)
	}
	return out
}

func TestAssembler(t *testing.T) {
	sent := units(60, 20)
	all := packets(t, sent, 65500)
	run := func(in []*rtp.Packet) (got [][]byte) {
		a := newAssembler(catalog.Default().Find("VP8"))
		for _, p := range in {
			a.push(p, func(u []byte, key bool) {
				if key != (u[0]&1 == 0) {
					t.Error("keyframe not told")
				}
				got = append(got, bytes.Clone(u))
			})
		}
		return got
	}
	equal := func(name string, got, want [][]byte) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: %d units, want %d", name, len(got), len(want))
			return
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%s: unit %d differs", name, i)
			}
		}
	}
	equal("in order", run(all), sent)

	mixed := append([]*rtp.Packet{}, all[1:]...)
	r := rand.New(rand.NewPCG(1, 2))
	for at := 0; at < len(mixed); at += 40 {
		part := mixed[at:min(at+40, len(mixed))]
		r.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	equal("some late", run(append(all[:1:1], mixed...)), sent)
	equal("all twice", run(append(append([]*rtp.Packet{}, all...), all...)), sent)

	padding := &rtp.Packet{Header: rtp.Header{SequenceNumber: 0, Timestamp: all[36].Timestamp}}
	for i, p := range all {
		if p.SequenceNumber == 0 {
			with := append(append(append([]*rtp.Packet{}, all[:i]...), padding), packets(t, sent, 65501)[i:]...)
			equal("padding", run(with), sent)
		}
	}

	// A hole in unit 5 costs the rest of its second, and no more.
	hole := append(append([]*rtp.Packet{}, all[:21]...), all[22:]...)
	hole = append(hole, packets(t, sent[40:], 65500+uint16(len(all)))...)
	got := run(hole)
	equal("a hole", got[:5], sent[:5])
	if len(got) < 20 || got[5][0]&1 != 0 {
		t.Errorf("after a hole: %d units", len(got))
	}
}

func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0, 0, 0x90, 0x80, 1, 0, 1})
	f.Add([]byte{0, 200, 1, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		a := newAssembler(catalog.Default().Find("VP8"))
		for len(b) > 3 {
			n := min(int(b[0]%16), len(b)-3)
			p := &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(b[1]) << (b[2] & 8), Timestamp: uint32(b[2] & 4), Marker: b[2]&1 == 1}}
			p.Payload = b[3 : 3+n]
			a.push(p, func(u []byte, key bool) {
				if len(u) == 0 {
					t.Error("an empty unit")
				}
			})
			b = b[3+n:]
		}
	})
}

func TestSpreads(t *testing.T) {
	if got := spread([]float64{4, 1, 3, 2}); got != (Spread{1, 2, 4, 4}) {
		t.Errorf("%+v", got)
	}
	bins := make([]uint32, 200)
	for i := range 100 {
		bins[i+1] = 1
	}
	if got := spreadOf(bins); got != (Spread{1, 50, 95, 100}) {
		t.Errorf("%+v", got)
	}
	if spread(nil) != (Spread{}) || spreadOf(nil) != (Spread{}) {
		t.Error("of nothing there is something")
	}
}

func TestReport(t *testing.T) {
	r := &Report{Room: "demo", Bots: 2, Clients: []Client{
		{Identity: "bot-00", Joined: true, Sessions: 2, Join: 120, FPS: 25, Listener: &Impression{
			TilesExpected: 2, TilesSeen: 2, Age: Spread{P50: 70}, Tones: Tones{Slots: 1, Expected: 3, Heard: 3, Own: -52}}},
		{Identity: "bot-01", Joined: true, Sessions: 1, Join: 180, FPS: 24, Video: Track{Counts: Counts{Packets: 99, Lost: 1}}},
	}}
	r.summarize()
	if s := r.Summary; s.Joined != 2 || s.Rejoins != 1 || s.Join.P50 != 120 || s.FPS.Min != 24 || s.Loss != 0.01 || s.AgeP50 != 70 || s.OwnTone != -52 {
		t.Errorf("%+v", s)
	}
	if err := r.failure(); err != nil {
		t.Error(err)
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "2 of 2") {
		t.Errorf("%v\n%s", err, table.String())
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var shape struct {
		Summary struct {
			Join *struct{ P50, P95 *float64 } `json:"join_ms"`
			FPS  *struct{ Min, P50 *float64 } `json:"fps"`
			Loss *float64
			Late *int     `json:"audio_late"`
			Age  *float64 `json:"age_p50_ms"`
			Own  *float64 `json:"own_tone_db"`
		}
		Clients []struct {
			Video *struct {
				Packets, Bytes, Lost *int
				Kbps                 *float64
			}
			Listener *struct {
				Tiles *int `json:"tiles_seen"`
				Tones *struct{ Heard, Expected *int }
			}
		}
	}
	if err := json.Unmarshal(b, &shape); err != nil {
		t.Fatal(err)
	}
	s := shape.Summary
	if s.Join == nil || s.Join.P95 == nil || s.FPS == nil || s.FPS.Min == nil || s.Loss == nil || s.Late == nil || s.Age == nil || s.Own == nil {
		t.Errorf("the summary lacks something: %s", b)
	}
	if c := shape.Clients[0]; c.Video == nil || c.Video.Lost == nil || c.Video.Kbps == nil || c.Listener == nil || c.Listener.Tiles == nil || c.Listener.Tones == nil || c.Listener.Tones.Heard == nil {
		t.Errorf("a client lacks something: %s", b)
	}

	r.Clients[1].Join = 0
	r.summarize()
	if err := r.failure(); err == nil || !strings.Contains(err.Error(), "1 of 2 joined") {
		t.Error(err)
	}
	r.Clients[1] = Client{Identity: "bot-01", Error: errors.New("403 Forbidden").Error()}
	r.summarize()
	if err := r.failure(); err == nil || !strings.Contains(err.Error(), "1 of 2 did not join") || !strings.Contains(err.Error(), "403") {
		t.Error(err)
	}
}
