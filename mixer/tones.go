package mixer

import (
	"slices"
	"time"

	"mixdown/codec"
)

// soundKey tells sound encoders apart: who shares all of it shares an encoder,
// unless its own voice is in the mix.
type soundKey struct {
	codec *codec.Codec
	tone  int // index of SoundSpec.Tones; constant for a codec that has but one
	loss  int // index of SoundSpec.losses
}

// constant is the tone of a codec of constant rate.
const constant = -1

// soundKeyOf is which encoder a listener is to hear, for itself.
func soundKeyOf(c *codec.Codec, tone, loss int) soundKey {
	if c.Constant > 0 {
		return soundKey{c, constant, 0}
	}
	return soundKey{c, tone, loss}
}

// tone is what a key's sound is made at.
func (s SoundSpec) tone(k soundKey) Tone {
	if k.tone == constant {
		return Tone{Bitrate: k.codec.Constant, Packet: soundTick}
	}
	return s.Tones[k.tone]
}

// repairLoss makes Opus repair from 16 kbit/s on: for 0.15 it does from 18 kbit/s, at less
// bandwidth. What a repair takes is the same for 0.15 and more.
const repairLoss = .25

// losses are what in-band repair can be made for: what is configured, and more
// for receivers that lose more. Two at most, so that encoders stay few.
func (s SoundSpec) losses() []float64 {
	return slices.Compact([]float64{s.Loss, max(s.Loss, repairLoss)})
}

// calmLoss is the share of a class that a loss must be under to go back to it.
const calmLoss = .7

// lossClass is the index of losses for who measures loss and was in class now.
func (s SoundSpec) lossClass(loss float64, now int) int {
	classes := s.losses()
	i := slices.IndexFunc(classes, func(c float64) bool { return c >= loss })
	switch {
	case i < 0:
		return len(classes) - 1
	case i < now && loss > calmLoss*classes[i]:
		return i + 1
	}
	return i
}

// gather says which encoder is made for each that is wanted: of one codec no more
// than there are tones. Where there would be more, receivers of one tone are all
// made for the largest loss among them, those of the cheapest tone first.
func gather(wanted []soundKey, tones int) map[soundKey]soundKey {
	made := map[soundKey]soundKey{}
	count := map[*codec.Codec]int{}
	for _, k := range wanted {
		if _, had := made[k]; !had {
			made[k] = k
			count[k.codec]++
		}
	}
	for tone := tones - 1; tone >= 0; tone-- {
		worst := map[*codec.Codec]soundKey{}
		for k := range made {
			if k.tone == tone && count[k.codec] > tones && k.loss >= worst[k.codec].loss {
				worst[k.codec] = k
			}
		}
		for k := range made {
			if w, ok := worst[k.codec]; ok && k.tone == tone && k != w {
				made[k] = w
				count[k.codec]--
			}
		}
	}
	return made
}

// soundEncoder is one encoder of the room's sound.
type soundEncoder struct {
	key    soundKey
	stream uint32
	enc    codec.AudioEncoder
	ticks  int       // that a packet has
	pcm    []int16   // of the packet that is being filled
	begun  time.Time // where it begins
	fed    int       // ticks it has coded
	asleep bool      // a shared one that codes nothing, since all its listeners have their own
	saves  bool      // its packets are not sent in silence
	silent bool      // what it is filling is
	quiet  bool      // the last packet was of silence
}

// warmTicks is how much an encoder has to have coded before a listener of another
// one changes over to it: what it remembers is then what that listener heard. One that
// nobody hears yet is fed as much when it is needed.
const warmTicks = 12

// In silence packets so long are not sent: on the links that they are for, what
// stands in a queue has no other time to empty. An encoder says so by packets of one
// or two bytes (RFC 7587, section 3.1.3). The first of them goes out, as browsers' own
// do: it tells the decoder to make noise by itself, where without it it would stretch
// the last word. What is silence is not left to the encoder, which takes a steady
// tone for it: where nobody is open the mix is nothing at all.
const (
	quietPacket = 2 * soundTick
	quietSize   = 2
	// What such a packet has at most of its rate. Opus makes some more than twice as large,
	// and a second of them fills a link that carries the rate. With repair it needs as much for
	// tones, though not for speech: what finds no room then is coded as next to nothing, which 13
	// of 100 packets of speech and 70 of 85 tones were with as little as without it.
	peak, peakRepair = 1.15, 3
	// From there on, bit/s, Opus makes repair for them, and for a loss it takes for little from the second.
	repairedFrom, repairedAnyway = 16_000, 23_000
	littleLoss                   = .05
	// Opus' effort for them, at least. Of 126 tones, three at a time, those that sank by
	// 15 dB for longer than 100 ms were 26 unbound and 2 bound at complexity 5, and none at this.
	thorough = 9
)

// hush tells the encoder whether it may save what it has of a packet.
func (e *soundEncoder) hush() error {
	set, ok := e.enc.(codec.DTXSetter)
	silent := e.saves && ok && !slices.ContainsFunc(e.pcm, func(v int16) bool { return v != 0 })
	if silent == e.silent {
		return nil
	}
	e.silent = silent
	return set.SetDTX(silent)
}

// length is how many ticks a packet of that key has. All packets of one length begin in
// the same tick, so that listeners can change over where one ends.
func (s *soundClock) length(k soundKey) int {
	return int(s.room.server.cfg.Sound.tone(k).Packet / soundTick)
}

// between reports whether no packet of that key is half full in this tick.
func (s *soundClock) between(k soundKey) bool { return s.tick%uint64(s.length(k)) == 0 }

// choose notes which encoder each listener is to hear.
func (s *soundClock) choose() {
	var wanted []soundKey
	for _, l := range s.legs {
		if l.hears() {
			wanted = append(wanted, soundKeyOf(l.sub.audio, l.tone, l.loss))
		}
	}
	made := gather(wanted, len(s.room.server.cfg.Sound.Tones))
	s.moving = false
	for _, l := range s.legs {
		l.want = soundKey{}
		if l.hears() {
			l.want = made[soundKeyOf(l.sub.audio, l.tone, l.loss)]
		}
		if l.key.codec != l.want.codec {
			l.key = l.want // it has heard nothing yet
		}
		s.moving = s.moving || l.key != l.want
	}
	s.share()
}

// share opens an encoder for each key that somebody hears or is about to, and
// closes the others.
func (s *soundClock) share() {
	used := map[soundKey]bool{}
	for _, l := range s.legs {
		if l.hears() {
			used[l.key], used[l.want] = true, true
		}
	}
	for k, e := range s.shared {
		if !used[k] {
			s.drop(&e)
			delete(s.shared, k)
		}
	}
	for k := range used {
		if s.shared[k] == nil {
			if e := s.open(k); e != nil {
				s.shared[k] = e
			}
		}
	}
}

// move takes listeners to the encoders they are to hear, where a packet of both
// the old one and the new one ends.
func (s *soundClock) move() {
	if !s.moving {
		return
	}
	s.moving = false
	for _, l := range s.legs {
		if l.key == l.want {
			continue
		}
		s.wake(l.want)
		e := s.shared[l.want]
		if e == nil || !s.between(l.key) || !s.between(l.want) || e.fed < warmTicks && s.heard(l.want) {
			s.moving = true
			continue
		}
		if e.fed < warmTicks {
			s.warm(e)
		}
		l.key = l.want
		if l.private != nil {
			s.retune(l)
		}
	}
	s.share()
}

// heard reports whether anybody has come to that encoder.
func (s *soundClock) heard(k soundKey) bool {
	return slices.ContainsFunc(s.legs, func(l *leg) bool { return l.hears() && l.key == k })
}

// warm has e code what was in the mix just now. To go on where its listener's own
// encoder is would be less: what that has spent ahead at a higher rate is missing in
// the first packets at a lower one.
func (s *soundClock) warm(e *soundEncoder) {
	have := min(warmTicks, s.tick)
	var pcm []int16
	for t := s.tick - have/uint64(e.ticks)*uint64(e.ticks); t < s.tick; t++ {
		if pcm = append(pcm, s.past[t%warmTicks]...); len(pcm) < e.ticks*len(s.past[t%warmTicks]) {
			continue
		}
		if _, err := e.enc.Encode(pcm); err != nil {
			s.room.logNow("sound", err)
		}
		pcm = pcm[:0]
	}
	e.fed = warmTicks
}

// retune gives a leg another private encoder, of its new key, that goes on where
// the old one is.
func (s *soundClock) retune(l *leg) {
	old := l.private
	l.private = s.open(l.key)
	if l.private != nil {
		s.follow(l.private, old)
	}
	s.drop(&old)
}

// needed reports whether anybody hears the shared encoder of that key, or is about to. When
// a few people all speak nobody does, and it is a third or a quarter of their sound's cost.
func (s *soundClock) needed(k soundKey) bool {
	return slices.ContainsFunc(s.legs, func(l *leg) bool {
		return l.hears() && (l.key == k || l.want == k) && (l.private == nil || l.linger < lingerTicks || l.key != l.want)
	})
}

// wake has the shared encoder of that key go on where a listener's own one is, which has
// coded the same but for a voice, with what that has of its packet.
func (s *soundClock) wake(k soundKey) {
	e := s.shared[k]
	if e == nil || !e.asleep {
		return
	}
	e.asleep = false
	i := slices.IndexFunc(s.legs, func(l *leg) bool { return l.private != nil && l.private.key == k })
	if i < 0 {
		e.fed = 0 // who heard it has left
		return
	}
	p := s.legs[i].private
	s.follow(e, p)
	e.pcm, e.begun = append(e.pcm[:0], p.pcm...), p.begun
}

// branch opens a private encoder that goes on where the shared one is, with what
// that has of the packet it is filling: its listener's decoder notices nothing,
// and nothing of its own voice is in that packet.
func (s *soundClock) branch(k soundKey) *soundEncoder {
	s.wake(k)
	e := s.open(k)
	shared := s.shared[k]
	if e == nil || shared == nil {
		return e
	}
	s.follow(e, shared)
	e.pcm, e.begun = append(e.pcm, shared.pcm...), shared.begun
	return e
}

// follow makes e go on where other is, at its own rate.
func (s *soundClock) follow(e, other *soundEncoder) {
	f, ok := e.enc.(codec.Follower)
	if !ok {
		return
	}
	if err := f.Follow(other.enc); err != nil {
		s.room.logNow("sound", err)
		return
	}
	if e.key == other.key {
		return
	}
	spec := s.room.server.cfg.Sound
	if set, ok := e.enc.(codec.BitrateSetter); ok {
		if err := set.SetBitrate(spec.tone(e.key).Bitrate); err != nil {
			s.room.logNow("sound", err)
		}
	}
	if set, ok := e.enc.(codec.LossSetter); ok {
		if err := set.SetLoss(spec.losses()[e.key.loss]); err != nil {
			s.room.logNow("sound", err)
		}
	}
}

func (s *soundClock) open(k soundKey) *soundEncoder {
	spec := s.room.server.cfg.Sound
	tone := spec.tone(k)
	saves, most, complexity := tone.Packet >= quietPacket && k.tone != constant, 0, spec.Complexity
	if saves {
		most = int(peak * float64(tone.Bitrate) / 8 * tone.Packet.Seconds())
		if tone.Bitrate >= repairedAnyway || tone.Bitrate >= repairedFrom && spec.losses()[k.loss] > littleLoss {
			most = int(peakRepair / peak * float64(most))
		}
		complexity = max(complexity, thorough)
	}
	enc, err := k.codec.NewAudioEncoder(codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: soundRate, Channels: spec.Channels},
		Bitrate:     tone.Bitrate, Frame: tone.Packet, Complexity: complexity,
		FEC: true, Loss: spec.losses()[k.loss], // without loss it makes none
		Most: most,
	})
	if err != nil {
		s.room.logNow("sound", err)
		return nil
	}
	s.encoders.Add(1)
	return &soundEncoder{key: k, stream: s.room.server.streams.Add(1), enc: enc, ticks: s.length(k), saves: saves}
}

func (s *soundClock) drop(e **soundEncoder) {
	if *e != nil {
		(*e).enc.Close()
		*e = nil
		s.encoders.Add(-1)
	}
}

// encode takes the tick that begins at now. When a packet is full it goes to all
// legs that to is true of.
func (s *soundClock) encode(e *soundEncoder, pcm []int16, now time.Time, to func(*leg) bool) {
	if len(e.pcm) == 0 {
		if !s.between(e.key) {
			return // a new encoder waits for its place
		}
		e.begun = now
	}
	e.pcm = append(e.pcm, pcm...)
	if len(e.pcm) < e.ticks*len(pcm) {
		return
	}
	if err := e.hush(); err != nil {
		s.room.logNow("sound", err)
	}
	coded, err := e.enc.Encode(e.pcm)
	e.pcm = e.pcm[:0]
	e.fed += e.ticks
	if err != nil {
		s.room.logNow("sound", err)
		return
	}
	was := e.quiet
	if e.quiet = e.silent && len(coded) <= quietSize; e.quiet && was {
		return
	}
	p := &Packet{
		Codec: e.key.codec, Stream: e.stream, Payload: slices.Clone(coded),
		Timestamp: s.room.audioTime(e.begun, e.key.codec.ClockRate), Time: e.begun,
	}
	for _, l := range s.legs {
		if l.sub != nil && to(l) {
			l.sub.writeAudio(p)
		}
	}
}
