package load

import (
	"fmt"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

const (
	// A slot is listened to from one to the other of these: in it whoever has
	// the turn speaks all the time, and nobody before them is still heard.
	listenFrom = 1300 * time.Millisecond
	listenFor  = 2400 * time.Millisecond

	// heardAbove is the level of a tone that counts as heard, in dB of that sent.
	heardAbove = -10.0

	// seenFor is how long a tile counts as seen after its code was last read.
	seenFor = 2 * time.Second

	maxAge = loopSeconds * 1000 // ms
)

// Crew knows which bot is behind an identity and since when it has been sending.
type Crew struct {
	mu  sync.Mutex
	ids map[string]int
	at  map[int]time.Time
}

func newCrew() *Crew { return &Crew{ids: map[string]int{}, at: map[int]time.Time{}} }

// Enter notes that bot id sends from now on.
func (c *Crew) Enter(identity string, id int, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[identity] = id
	c.at[id] = now
}

// Leave notes that bot id sends no longer.
func (c *Crew) Leave(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.at, id)
}

// Bot returns the bot of an identity.
func (c *Crew) Bot(identity string) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.ids[identity]
	return id, ok
}

// Since reports whether bot id has been sending since t at the latest.
func (c *Crew) Since(id int, t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.at[id]
	return ok && !at.After(t)
}

// Listener looks at the pictures and hears the sound of one bot.
type Listener struct {
	id       int // -1 for a viewer
	schedule Schedule
	crew     *Crew
	aspect   float64
	sent     float64 // amplitude of a tone as sent

	video codec.VideoDecoder
	audio codec.AudioDecoder
	pcm   []int16
	probe *probe

	mu       sync.Mutex
	tiles    []mixer.Tile
	ages     [maxAge + 1]uint32 // by milliseconds
	seen     map[int]time.Time  // by bot: when its code was last read
	read     uint64
	unread   uint64
	decoded  uint64
	failures uint64
	width    int
	height   int
	slot     int64 // that is being listened to, 0 for none
	tones    Tones
}

// Tones is what was heard of who had the turn, over all slots listened to.
type Tones struct {
	Slots    int     `json:"slots"`
	Expected int     `json:"expected"`         // turns of others
	Heard    int     `json:"heard"`            // of them, heard
	Strange  int     `json:"strange"`          // tones of bots that had no turn
	Spread   float64 `json:"spread_db"`        // largest distance between two heard in one slot
	Own      float64 `json:"own_db,omitempty"` // loudest own tone against the others' (as sent, if none was heard); 0 if it never had a turn
	Level    float64 `json:"level_db"`         // of those heard, mean, against what was sent
}

func newListener(id int, s Schedule, crew *Crew, clips ClipConfig) (*Listener, error) {
	video, err := clips.Video.NewVideoDecoder()
	if err != nil {
		return nil, fmt.Errorf("%s decoder: %w", clips.Video.Name, err)
	}
	audio, err := clips.Audio.NewAudioDecoder(codec.AudioFormat{Rate: soundRate, Channels: 1})
	if err != nil {
		video.Close()
		return nil, fmt.Errorf("%s decoder: %w", clips.Audio.Name, err)
	}
	l := &Listener{
		id: id, schedule: s, crew: crew, aspect: float64(clips.Width) / float64(clips.Height), sent: toneAlone,
		video: video, audio: audio, pcm: make([]int16, soundRate*120/1000), seen: map[int]time.Time{},
		probe: newProbe(s.First, s.Bots, int(listenFor.Seconds()*soundRate)),
	}
	if clips.Speech {
		l.sent = toneUnder
	}
	return l, nil
}

// Layout tells where whom to look for.
func (l *Listener) Layout(s mixer.State, identity string) {
	canvas := ""
	for _, m := range s.Participants {
		if m.ID == identity {
			canvas = m.Canvas
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tiles = nil
	for _, c := range s.Layouts {
		if c.Canvas == canvas || len(s.Layouts) == 1 {
			l.tiles = c.Tiles
		}
	}
}

// Picture decodes one picture and reads the age of each tile in it. It reports
// whether the decoder took it.
func (l *Listener) Picture(unit []byte, key bool) bool {
	f, err := l.video.Decode(codec.Unit{Data: unit, Keyframe: key})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures++
		return false
	}
	if f == nil {
		return true
	}
	defer f.Release()
	l.decoded++
	l.width, l.height = f.Width, f.Height
	l.look(f, time.Now())
	return true
}

// look reads the codes in f, shown at now.
func (l *Listener) look(f *codec.Frame, now time.Time) {
	w, h := float64(f.Width)/1000, float64(f.Height)/1000
	for _, t := range l.tiles {
		bot, ours := l.crew.Bot(t.ID)
		if !ours || t.More > 0 {
			continue
		}
		id, index, ok := readCode(f, Area{float64(t.X) * w, float64(t.Y) * h, float64(t.W) * w, float64(t.H) * h}, l.aspect)
		if !ok || id != bot {
			l.unread++
			continue
		}
		l.read++
		l.seen[bot] = now
		l.ages[min(maxAge, l.schedule.Age(id, index, now).Milliseconds())]++
	}
}

// Sound decodes one packet of sound that came at now, after missing lost ones.
func (l *Listener) Sound(packet []byte, missing int, now time.Time) {
	for range min(missing, 10) {
		pcm := l.pcm[:packetSamples]
		if l.audio.Conceal(pcm) == nil {
			l.hear(pcm, now)
		}
	}
	n, err := l.audio.Decode(packet, l.pcm)
	if err != nil {
		l.mu.Lock()
		l.failures++
		l.mu.Unlock()
		return
	}
	l.hear(l.pcm[:n], now)
}

// hear listens to the part of each slot in which all who have the turn speak.
func (l *Listener) hear(pcm []int16, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slot, into := SlotOf(now)
	switch {
	case l.slot == slot: // listening
	case into >= listenFrom && into < listenFrom+100*time.Millisecond:
		l.slot = slot
		l.probe.reset()
	default:
		return
	}
	if l.probe.at < l.probe.length && l.probe.add(pcm) {
		l.judge(slot)
	}
}

// judge compares the tones heard in a slot with who had the turn.
func (l *Listener) judge(slot int64) {
	began := time.Unix(slot*slotSeconds, 0)
	low, high, own, sum, heard := 0.0, 0.0, 0.0, 0.0, 0
	for i := range l.schedule.Bots {
		id := l.schedule.First + i
		level := decibels(l.probe.amplitude(i) / l.sent)
		switch talks := l.schedule.Talks(id, slot); {
		case id == l.id:
			if talks {
				own = level
			}
		case talks && l.crew.Since(id, began.Add(-time.Second)):
			l.tones.Expected++
			if level < heardAbove {
				continue
			}
			if heard == 0 {
				low, high = level, level
			}
			low, high = min(low, level), max(high, level)
			sum += level
			heard++
		case !talks && level >= heardAbove:
			l.tones.Strange++
		}
	}
	t := &l.tones
	t.Slots++
	mean := 0.0 // as sent
	if heard > 0 {
		mean = sum / float64(heard)
	}
	if t.Heard += heard; t.Heard > 0 {
		t.Level += (sum - float64(heard)*t.Level) / float64(t.Heard)
	}
	t.Spread = max(t.Spread, high-low)
	if own != 0 && (t.Own == 0 || own-mean > t.Own) {
		t.Own = own - mean
	}
}

// Impression is what a listener has seen and heard.
type Impression struct {
	Width         int    `json:"width"`
	Height        int    `json:"height"`
	Decoded       uint64 `json:"frames_decoded"`
	Failures      uint64 `json:"decode_errors"`
	TilesExpected int    `json:"tiles_expected"` // bots in the layout at the end
	TilesSeen     int    `json:"tiles_seen"`     // of them, read in the last two seconds
	CodesRead     uint64 `json:"codes_read"`
	CodesUnread   uint64 `json:"codes_unread"`
	Age           Spread `json:"age_ms"`
	Tones         Tones  `json:"tones"`
}

// Impression returns what has been seen and heard up to now.
func (l *Listener) Impression(now time.Time) Impression {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := Impression{
		Width: l.width, Height: l.height, Decoded: l.decoded, Failures: l.failures,
		CodesRead: l.read, CodesUnread: l.unread, Age: spreadOf(l.ages[:]), Tones: l.tones,
	}
	for _, t := range l.tiles {
		if bot, ours := l.crew.Bot(t.ID); ours && t.More == 0 {
			v.TilesExpected++
			if at, ok := l.seen[bot]; ok && now.Sub(at) <= seenFor {
				v.TilesSeen++
			}
		}
	}
	return v
}

// Close gives the decoders back. It may be called twice.
func (l *Listener) Close() error {
	err := l.video.Close()
	if e := l.audio.Close(); err == nil {
		err = e
	}
	return err
}
