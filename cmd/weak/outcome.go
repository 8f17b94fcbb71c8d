package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"mixdown/cmd/weak/link"
)

// Outcome is what one run of one row came to.
type Outcome struct {
	Row      string    `json:"row"`
	Began    time.Time `json:"began"`
	Version  string    `json:"version"` // of the server
	Seed     uint64    `json:"seed"`
	Settled  Figure    `json:"settled"`          // s from the click on Join to the beginning of the measurement
	Seconds  Figure    `json:"seconds"`          // measured
	Failed   string    `json:"failed,omitempty"` // why the weak client got nothing
	Joined   Figure    `json:"joined"`           // s from the click on Join to the first picture
	Sounded  Figure    `json:"sounded"`          // s to the first sound
	Weak     Person    `json:"weak"`
	Strong   Person    `json:"strong"`
	Down     Lane      `json:"down"`
	Up       Lane      `json:"up"`
	Heard    Sound     `json:"heard"`     // the weak one's tone at the strong one
	Back     Figure    `json:"back"`      // s after the rate fell until pictures ran again
	Regained Figure    `json:"regained"`  // s after it rose until the tier was the one before the fall
	Tier     string    `json:"tier"`      // the weak client's at the end
	Cores    Figure    `json:"cores"`     // of the server, with the load of everything else on the machine
	Keyed    Figure    `json:"keyframes"` // of all tiers a minute
	// HeardConcealed is the share of the weak one's sound that the server made up.
	HeardConcealed Figure   `json:"heard_concealed"`
	Timeline       []Moment `json:"timeline"`
}

// Person is one browser's side.
type Person struct {
	Picture   Picture `json:"picture"`
	Sound     Sound   `json:"sound"`
	Keyframes Figure  `json:"keyframes"` // decoded, a minute
	Freezes   Figure  `json:"freezes"`   // freezeCount of getStats
	FrozenS   Figure  `json:"frozen_s"`  // totalFreezesDuration, s
	Plis      Figure  `json:"plis"`      // requests for keyframes that it sent, a minute
	JitterMS  Figure  `json:"jitter_ms"` // mean delay of the sound's jitter buffer
	TargetMS  Figure  `json:"target_ms"` // what it meant to be
	LeastMS   Figure  `json:"least_ms"`  // and what it would have been for the network's sake alone
	RTT       Figure  `json:"rtt_ms"`
	SentKbps  Figure  `json:"sent_kbps"` // by getStats
	GotKbps   Figure  `json:"got_kbps"`
	VideoKbps Figure  `json:"video_kbps"` // of it, pictures, whole or not
}

// Lane is one direction of the link once it had settled.
type Lane struct {
	Kbps    Figure `json:"kbps"`    // offered to the link
	Carried Figure `json:"carried"` // kb/s that came through
	Offered Figure `json:"offered"` // share of the rate that was offered
	Lost    Figure `json:"lost"`    // share of the packets sent
	Dropped Figure `json:"dropped"` // share of the packets offered that found the queue full
	WaitP50 Figure `json:"wait_p50"`
	WaitP95 Figure `json:"wait_p95"` // ms before the link was free
	WaitMax Figure `json:"wait_max"`
	// Of what was offered, kb/s. Media over TCP are of TCP.
	Sound    Figure `json:"sound"`
	Pictures Figure `json:"pictures"`
	RTCP     Figure `json:"rtcp"`
	TCP      Figure `json:"tcp"`
	Rest     Figure `json:"rest"` // ICE's checks, DTLS
}

// lane sums up counters over seconds at a rate, bit/s, that may be 0.
func lane(c link.Counters, seconds, bits float64) Lane {
	of := func(kinds ...link.Kind) Figure {
		sum := int64(0)
		for _, k := range kinds {
			sum += c.Of[k]
		}
		return ratio(float64(sum)*8/1000, seconds)
	}
	return Lane{
		Sound: of(link.Sound), Pictures: of(link.Pictures), RTCP: of(link.RTCP), TCP: of(link.TCP), Rest: of(link.STUN, link.DTLS, link.Other),
		Kbps:    ratio(float64(c.InBytes)*8/1000, seconds),
		Carried: ratio(float64(c.OutBytes)*8/1000, seconds),
		Offered: ratio(float64(c.InBytes)*8, bits),
		Lost:    ratio(float64(c.Lost), float64(c.SentPackets)),
		Dropped: ratio(float64(c.Dropped), float64(c.InPackets)),
		WaitP50: Figure(millis(c.Wait(0.5))), WaitP95: Figure(millis(c.Wait(0.95))), WaitMax: Figure(millis(c.Wait(1))),
	}
}

// Moment is the state of things at a time.
type Moment struct {
	At      Figure `json:"at"`      // s since the click on Join
	Rate    Figure `json:"rate"`    // of the link down, kb/s; 0: no limit
	Offered Figure `json:"offered"` // kb/s since the moment before
	Carried Figure `json:"carried"`
	Up      Figure `json:"up"`      // carried the other way
	Queue   Figure `json:"queue"`   // ms of the rate that wait down
	UpQueue Figure `json:"upqueue"` // and up
	// What was offered since the moment before by Kind, bytes.
	OfDown []int64 `json:"of_down"`
	OfUp   []int64 `json:"of_up"`
	Drops  int64   `json:"drops"`  // down, since the moment before
	Height int     `json:"height"` // of the weak client's tier, 0 without a picture
	Tier   string  `json:"tier"`   // its name
	FPS    Figure  `json:"fps"`    // pictures that the weak client saw in the second before
	Age    Figure  `json:"age"`    // s, of the picture it sees: since it came
	Asked  int     `json:"asked"`  // bit/s that the weak client is asked to send
	// What the server takes its link for, kb/s, and how long sound and pictures stay in
	// its buffers, ms: that is so, was meant to be, and would be without pictures.
	Estimate Figure `json:"estimate"`
	Sound    Figure `json:"sound"`
	Meant    Figure `json:"meant"`
	Least    Figure `json:"least"`
	Video    Figure `json:"video"`
}

// file is where an outcome is kept.
func (o *Outcome) file(dir string) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%s.json", o.Row, o.Began.UTC().Format("20060102T150405")))
}

func (o *Outcome) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(o.file(dir), append(b, '\n'), 0o644)
}

// outcomes reads what is kept in dir, by row, the oldest first.
func outcomes(dir string) (map[string][]*Outcome, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	out := map[string][]*Outcome{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		o := new(Outcome)
		if err := json.Unmarshal(b, o); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[o.Row] = append(out[o.Row], o)
	}
	return out, nil
}

// medians returns an outcome whose every Figure is the median of the runs'.
// Where most runs measured nothing, nothing was measured.
func medians(runs []*Outcome) *Outcome {
	out := *runs[len(runs)/2]
	values := make([]reflect.Value, len(runs))
	for i, r := range runs {
		values[i] = reflect.ValueOf(r).Elem()
	}
	merge(reflect.ValueOf(&out).Elem(), values)
	return &out
}

func merge(into reflect.Value, from []reflect.Value) {
	for i := range into.NumField() {
		field := into.Field(i)
		var fields []reflect.Value
		for _, f := range from {
			fields = append(fields, f.Field(i))
		}
		switch field.Interface().(type) {
		case Figure:
			var known []float64
			for _, f := range fields {
				if v := Figure(f.Float()); v.known() {
					known = append(known, float64(v))
				}
			}
			if field.SetFloat(float64(none)); 2*len(known) > len(fields) {
				field.SetFloat(float64(median(known)))
			}
		case time.Time:
		default:
			if field.Kind() == reflect.Struct {
				merge(field, fields)
			}
		}
	}
}
