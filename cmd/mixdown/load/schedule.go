package load

import (
	"fmt"
	"time"
)

// Time is cut the same way in every bot, from the wall clock alone: loops of
// eight seconds hold two slots of four seconds, and in each slot some bots
// speak. So any process that knows the number of bots knows who speaks now,
// and which picture everybody should show.
const (
	slotSeconds = 4
	loopSeconds = 2 * slotSeconds
	packetTime  = 20 * time.Millisecond
	slotPackets = slotSeconds * int64(time.Second/packetTime)
	loopPackets = 2 * slotPackets
)

// Schedule says what every bot shows and says at any moment.
type Schedule struct {
	FPS     int
	Bots    int
	First   int // the lowest bot's id
	Talkers int // how many speak at once
}

// Validate tells what cannot be scheduled.
func (s Schedule) Validate() error {
	if most := (maxIndex + 1) / loopSeconds; s.FPS < 1 || s.FPS > most {
		return fmt.Errorf("--fps %d: must be 1 to %d, the bar-coded clock counts no further", s.FPS, most)
	}
	if s.Bots < 0 || s.First < 0 || s.First+s.Bots > maxID+1 {
		return fmt.Errorf("--bots %d --first %d: ids must lie in 0 to %d", s.Bots, s.First, maxID)
	}
	return nil
}

// Loop is the number of frames in a clip.
func (s Schedule) Loop() int { return loopSeconds * s.FPS }

// Interval is the time between two frames.
func (s Schedule) Interval() time.Duration { return time.Second / time.Duration(s.FPS) }

// phase returns which part of an interval a bot is late by, 0 up to 1: 50 bots
// do not send in the same instant. Multiples of the golden ratio spread evenly
// however many there are.
func phase(id int) float64 {
	p := float64(id) * 0.6180339887498949
	return p - float64(int(p))
}

// KeyOffset returns the frame of each second that is a bot's keyframe, so that
// not all bots send theirs in the same instant either.
func (s Schedule) KeyOffset(id int) int { return int(phase(id*7+3) * float64(s.FPS)) }

// Frame returns the number, counted from the Unix epoch, of the first frame of
// bot id that is due at or after t.
func (s Schedule) Frame(id int, t time.Time) int64 {
	n := s.started(t)
	for s.FrameTime(id, n).Before(t) {
		n++
	}
	return n
}

// started returns the number of the frame whose interval t lies in.
func (s Schedule) started(t time.Time) int64 {
	return t.Unix()*int64(s.FPS) + int64(t.Nanosecond())*int64(s.FPS)/int64(time.Second)
}

// FrameTime returns when frame n of bot id is due. A second holds exactly FPS
// frames even where the interval is no whole number of nanoseconds.
func (s Schedule) FrameTime(id int, n int64) time.Time {
	fps := int64(s.FPS)
	return time.Unix(n/fps, n%fps*int64(time.Second)/fps+int64(phase(id)*float64(s.Interval())))
}

// Index returns the place of frame n in the clip.
func (s Schedule) Index(n int64) int { return int(n % int64(s.Loop())) }

// Age returns how long before now the frame of that index was due; a frame can
// be no older than a loop.
func (s Schedule) Age(id, index int, now time.Time) time.Duration {
	n := s.started(now)
	n -= (n - int64(index)) % int64(s.Loop())
	age := now.Sub(s.FrameTime(id, n))
	if age < 0 {
		age += loopSeconds * time.Second
	}
	return age
}

// Packet returns the number of the first packet of sound due at or after t,
// and PacketTime when it is due.
func (s Schedule) Packet(id int, t time.Time) int64 {
	n := t.UnixNano() / int64(packetTime)
	for s.PacketTime(id, n).Before(t) {
		n++
	}
	return n
}

// PacketTime returns when packet n of sound of bot id is due.
func (s Schedule) PacketTime(id int, n int64) time.Time {
	return time.Unix(0, n*int64(packetTime)+int64(phase(id)*float64(packetTime)))
}

// Talks reports whether bot id has its turn in a slot, counted from the Unix
// epoch.
func (s Schedule) Talks(id int, slot int64) bool {
	if id < s.First || id >= s.First+s.Bots {
		return false
	}
	n := int64(s.Bots)
	turn := (int64(id-s.First) - slot*int64(s.Talkers)) % n
	return (turn+n)%n < int64(s.Talkers)
}

// SlotOf returns the slot that t lies in, and how long ago it began.
func SlotOf(t time.Time) (slot int64, into time.Duration) {
	n := t.UnixNano()
	return n / int64(slotSeconds*time.Second), time.Duration(n % int64(slotSeconds*time.Second))
}

// TalkingFrame reports whether frame n shows bot id with its turn: a turn begins
// at the bot's first keyframe in its slot, because clips are changed there.
func (s Schedule) TalkingFrame(id int, n int64) bool {
	return s.Talks(id, (n-int64(s.KeyOffset(id)))/int64(slotSeconds*s.FPS))
}
