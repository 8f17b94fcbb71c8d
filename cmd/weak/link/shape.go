package link

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Shape is what one direction of a link does to packets. The zero Shape lets
// all of them through at once.
type Shape struct {
	Rate    int           `json:"rate,omitempty"`    // bit/s of whole IP packets; 0: no limit
	Delay   time.Duration `json:"delay,omitempty"`   // of propagation, one way
	Jitter  time.Duration `json:"jitter,omitempty"`  // more delay, uniform from 0 to this
	Reorder bool          `json:"reorder,omitempty"` // jitter may change the order
	Loss    float64       `json:"loss,omitempty"`    // share of packets lost on the way, 0 to 1
	Burst   float64       `json:"burst,omitempty"`   // mean number of packets lost in a row; up to 1: each by itself
	Queue   time.Duration `json:"queue,omitempty"`   // longest wait before the link, at its rate; 0: see QueueBytes
	Bytes   int           `json:"bytes,omitempty"`   // what always fits before the link, however slow it is; 0: defaultBytes
	Block   Block         `json:"block,omitzero"`    // what is dropped at once, by protocol
	Cut     bool          `json:"cut,omitempty"`     // nothing passes, and what waits is lost
}

// defaultBytes before the link always fit: four large packets.
const defaultBytes = 6000

// Block drops packets by protocol, as firewalls do: without a word.
type Block struct {
	UDP bool `json:"udp,omitempty"` // drops UDP
	TCP int  `json:"tcp,omitempty"` // drops all but TCP to and from this port of the server; 0: does not
}

// capacity returns how many bytes may wait.
func (s Shape) capacity() int {
	floor := s.Bytes
	if floor == 0 {
		floor = defaultBytes
	}
	return max(floor, int(s.Queue.Seconds()*float64(s.Rate)/8))
}

// Validate names the setting that is wrong.
func (s Shape) Validate() error {
	switch {
	case s.Rate < 0 || s.Rate > 0 && s.Rate < 1000:
		return fmt.Errorf("rate %d: must be 0 or at least 1000 bit/s", s.Rate)
	case s.Delay < 0 || s.Jitter < 0 || s.Queue < 0 || s.Bytes < 0:
		return errors.New("delay, jitter, queue and bytes must not be negative")
	case s.Loss < 0 || s.Loss > 1:
		return fmt.Errorf("loss %g: must be 0 to 1", s.Loss)
	case s.Burst > 1 && s.Loss > s.Burst/(s.Burst+1):
		return fmt.Errorf("loss %g in bursts of %g: bursts would have no packet between them; at most %.2f", s.Loss, s.Burst, s.Burst/(s.Burst+1))
	case s.Burst < 0:
		return fmt.Errorf("burst %g: must not be negative", s.Burst)
	case s.Block.TCP < 0 || s.Block.TCP > 65535:
		return fmt.Errorf("block tcp:%d: is no port", s.Block.TCP)
	}
	return nil
}

// Change returns s with the settings in words changed, such as
//
//	rate=150k delay=50ms jitter=20ms loss=2% burst=5 queue=300ms bytes=6000 reorder=on block=udp
//
// rate takes k and M; block is none, udp (all UDP dropped) or tcp:PORT (all but
// that dropped); clean alone takes all settings back.
func (s Shape) Change(words []string) (Shape, error) {
	for _, word := range words {
		if word == "clean" {
			s = Shape{}
			continue
		}
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return s, fmt.Errorf("%q: want KEY=VALUE, such as rate=150k", word)
		}
		var err error
		switch key {
		case "rate":
			s.Rate, err = parseRate(value)
		case "delay":
			s.Delay, err = time.ParseDuration(value)
		case "jitter":
			s.Jitter, err = time.ParseDuration(value)
		case "queue":
			s.Queue, err = time.ParseDuration(value)
		case "bytes":
			s.Bytes, err = strconv.Atoi(value)
		case "loss":
			s.Loss, err = parseShare(value)
		case "burst":
			s.Burst, err = strconv.ParseFloat(value, 64)
		case "reorder":
			s.Reorder = value == "on"
		case "block":
			s.Block, err = parseBlock(value)
		default:
			return s, fmt.Errorf("%q: no such setting; there are rate, delay, jitter, reorder, loss, burst, queue, bytes, block and clean", key)
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", word, err)
		}
	}
	return s, s.Validate()
}

func parseRate(text string) (int, error) {
	unit := 1.0
	if t, ok := strings.CutSuffix(text, "k"); ok {
		text, unit = t, 1e3
	} else if t, ok := strings.CutSuffix(text, "M"); ok {
		text, unit = t, 1e6
	}
	v, err := strconv.ParseFloat(text, 64)
	return int(v * unit), err
}

func parseShare(text string) (float64, error) {
	unit := 1.0
	if t, ok := strings.CutSuffix(text, "%"); ok {
		text, unit = t, 100
	}
	v, err := strconv.ParseFloat(text, 64)
	return v / unit, err
}

func parseBlock(text string) (Block, error) {
	switch port, tcp := strings.CutPrefix(text, "tcp:"); {
	case text == "none":
		return Block{}, nil
	case text == "udp":
		return Block{UDP: true}, nil
	case tcp:
		n, err := strconv.Atoi(port)
		return Block{TCP: n}, err
	}
	return Block{}, errors.New("want none, udp or tcp:PORT")
}

// String is the shape as words that Change takes.
func (s Shape) String() string {
	var words []string
	add := func(set bool, format string, args ...any) {
		if set {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(s.Rate > 0, "rate=%gk", float64(s.Rate)/1000)
	add(s.Delay > 0, "delay=%v", s.Delay)
	add(s.Jitter > 0, "jitter=%v", s.Jitter)
	add(s.Reorder, "reorder=on")
	add(s.Loss > 0, "loss=%g%%", 100*s.Loss)
	add(s.Burst > 1, "burst=%g", s.Burst)
	add(s.Queue > 0, "queue=%v", s.Queue)
	add(s.Bytes > 0, "bytes=%d", s.Bytes)
	add(s.Block.UDP, "block=udp")
	add(s.Block.TCP > 0, "block=tcp:%d", s.Block.TCP)
	add(s.Cut, "(cut)")
	if words == nil {
		return "clean"
	}
	return strings.Join(words, " ")
}
