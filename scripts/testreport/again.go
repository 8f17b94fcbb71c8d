package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Unit is the smallest part of a test command that runs by itself: a top-level
// Go test, or a file of Node tests, whose tests build on each other.
type Unit struct {
	Package string // of a Go test
	Test    string // a Go test's name, or the path of a file
	Failed  int    // tests of it that failed
}

// mostAgain is how many units may fail by chance in one run of everything.
const mostAgain = 3

// withLook returns how a unit of the command is run by itself.
func (u Unit) withLook(command []string) []string {
	if u.Package == "" {
		return []string{"node", "--test", u.Test}
	}
	look := []string{"go", "test", "-json", "-count=1", "-timeout", "15m"}
	if slices.Contains(command, "-race") {
		look = append(look, "-race")
	}
	return append(look, "-run", "^"+u.Test+"$", u.Package)
}

// deferred says whether a second look may tell more about the units that failed:
// not if something failed that is none of them, or too much did.
func deferred(c Count, units []Unit) bool {
	sum := 0
	for _, u := range units {
		sum += u.Failed
	}
	return sum == c.Failed && sum > 0 && len(units) <= mostAgain
}

// writeAgain appends a line for each unit: how many of its tests failed, its kind,
// and the command that runs it.
func writeAgain(file, kind string, command []string, units []Unit) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for _, u := range units {
		if _, err := fmt.Fprintln(f, u.Failed, kind, strings.Join(u.withLook(command), " ")); err != nil {
			_ = f.Close()
			return err
		}
	}
	return f.Close()
}

// beyondChance says whether what a failed Go test printed shows a defect that no
// second look may excuse: a race is one however rarely it shows, and a panic also
// took the package's other tests with it.
func beyondChance(output string) bool {
	return strings.Contains(output, "DATA RACE") || strings.Contains(output, "panic:")
}
