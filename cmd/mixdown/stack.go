package main

import (
	"errors"
	"fmt"
	"time"
)

// stack ends what was started, the last first.
type stack struct {
	ends []end
}

type end struct {
	name  string
	close func() error
}

func (s *stack) push(name string, close func() error) {
	s.ends = append(s.ends, end{name, close})
}

// close ends all and waits for it, for as long as bound at most: what hangs
// is named.
func (s *stack) close(bound time.Duration) error {
	timeout := time.NewTimer(bound)
	defer timeout.Stop()
	var errs []error
	for i := len(s.ends) - 1; i >= 0; i-- {
		e := s.ends[i]
		done := make(chan error, 1)
		go func() { done <- e.close() }()
		select {
		case err := <-done:
			if err != nil {
				errs = append(errs, fmt.Errorf("stop %s: %w", e.name, err))
			}
		case <-timeout.C:
			return errors.Join(append(errs, fmt.Errorf("stop %s: not done after %v, given up", e.name, bound))...)
		}
	}
	s.ends = nil
	return errors.Join(errs...)
}
