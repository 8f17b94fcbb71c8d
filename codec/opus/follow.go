package opus

import (
	"errors"
	"fmt"
	"reflect"

	libopus "gopkg.in/hraban/opus.v2"

	"mixdown/codec"
)

// Follow makes e go on where other is. libopus keeps an encoder in one block
// of memory without pointers into itself and says that a copy of it is an
// encoder (opus.h, "Opus Encoder"). How long a frame is it is told with each
// one, so the two may differ in that; and e goes on at its own complexity, to save silence or not.
func (e *Encoder) Follow(other codec.AudioEncoder) error {
	o, ok := other.(*Encoder)
	if !ok {
		return fmt.Errorf("follow a %T: not an opus encoder", other)
	}
	if e.enc == nil || o.enc == nil {
		return errClosed
	}
	if e.format != o.format {
		return fmt.Errorf("follow an opus encoder of %+v in one of %+v: not the same", o.format, e.format)
	}
	to, from := state(e.enc), state(o.enc)
	if len(to) == 0 || len(to) != len(from) {
		return errors.New("follow an opus encoder: its state is not where opus.v2 kept it")
	}
	copy(to, from)
	if err := e.enc.SetDTX(e.dtx); err != nil {
		return fmt.Errorf("follow an opus encoder: silence suppression: %w", err)
	}
	if err := e.enc.SetComplexity(e.effort); err != nil {
		return fmt.Errorf("follow an opus encoder: complexity %d: %w", e.effort, err)
	}
	return nil
}

// state is the block that enc's libopus encoder lives in. opus.v2 allocates it
// in Go and keeps it to itself.
func state(enc *libopus.Encoder) []byte {
	mem := reflect.ValueOf(enc).Elem().FieldByName("mem")
	if !mem.IsValid() || mem.Type() != reflect.TypeFor[[]byte]() {
		return nil
	}
	return mem.Bytes()
}
