package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// event is one line of `go test -json` (go doc test2json). Output of a build
// that failed names the package in ImportPath.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// long is the seconds from which on a test is worth a line of its own: there are
// minutes for all of them together.
const long = 4

// readGo counts top-level tests, examples and fuzz targets run over their
// seeds; a subtest is part of its parent. A package that fails by itself (it
// does not build, it panics, its TestMain fails) is one failure.
func readGo(r io.Reader, w io.Writer) (Count, []Unit, error) {
	var total Count
	var units []Unit
	said := make(map[string]*strings.Builder) // what a running test has printed
	tests := make(map[string]Count)           // by package
	say := func(key, text string) {
		if said[key] == nil {
			said[key] = new(strings.Builder)
		}
		said[key].WriteString(text)
	}
	take := func(key string) string {
		text := said[key]
		delete(said, key)
		if text == nil {
			return ""
		}
		return text.String()
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(w, "%s", line) // a program under test wrote past its stdout
			}
			// A subtest's words belong to its parent, which ends last.
			test, sub, _ := strings.Cut(e.Test, "/")
			key := e.Package + "." + test
			count := tests[e.Package]
			switch e.Action {
			case "build-output":
				fmt.Fprint(w, e.Output)
			case "output":
				say(key, e.Output)
			case "pass", "fail", "skip":
				if sub != "" {
					break
				}
				text := take(key)
				if test != "" && e.Elapsed >= long {
					fmt.Fprintf(w, "     %-28s %6.1fs  %s\n", e.Package, e.Elapsed, test)
				}
				if test == "" {
					count = endPackage(w, e, count, text)
					total.Passed += count.Passed
					total.Failed += count.Failed
					total.Skipped += count.Skipped
					break
				}
				switch e.Action {
				case "pass":
					count.Passed++
				case "fail":
					count.Failed++
					fmt.Fprint(w, text)
					if !beyondChance(text) {
						units = append(units, Unit{e.Package, test, 1})
					}
				case "skip":
					count.Skipped++
					fmt.Fprint(w, text)
				}
				tests[e.Package] = count
			}
		}
		if err == io.EOF {
			return total, units, nil
		}
		if err != nil {
			return total, units, err
		}
	}
}

func endPackage(w io.Writer, e event, c Count, text string) Count {
	word := "ok  "
	if e.Action == "fail" {
		word = "FAIL"
		if c.Failed == 0 {
			c.Failed = 1
			fmt.Fprint(w, text)
		}
	}
	if c != (Count{}) {
		fmt.Fprintf(w, "%s %-28s %6.1fs  %d passed, %d failed, %d skipped\n", word, e.Package, e.Elapsed, c.Passed, c.Failed, c.Skipped)
	}
	flush(w)
	return c
}

// nodeSum is a line of the summary that node's test runner ends with, as its
// spec and its TAP reporter write it.
var nodeSum = regexp.MustCompile(`^(?:#|ℹ) (pass|fail|cancelled|skipped|todo) (\d+)$`)

// nodeFailed is where a failed test of node's TAP reporter stands, between its
// "not ok" and the error.
var nodeFailed = regexp.MustCompile(`^location: '(.+\.test\.js):\d+:\d+'$`)

// readNode passes the runner's words on and adds up its summaries.
func readNode(r io.Reader, w io.Writer) (Count, []Unit, error) {
	var c Count
	var units []Unit
	failed := false // in the lines of a failed test
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		fmt.Fprint(w, line)
		flush(w)
		words := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(words, "not ok "):
			failed = true
		case words == "...":
			failed = false
		}
		if m := nodeFailed.FindStringSubmatch(words); m != nil && failed {
			i := slices.IndexFunc(units, func(u Unit) bool { return u.Test == m[1] })
			if i < 0 {
				i = len(units)
				units = append(units, Unit{Test: m[1]})
			}
			units[i].Failed++
		}
		if m := nodeSum.FindStringSubmatch(words); m != nil {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return c, nil, fmt.Errorf("summary %q: %w", line, err)
			}
			switch m[1] {
			case "pass":
				c.Passed += n
			case "fail", "cancelled":
				c.Failed += n
			default:
				c.Skipped += n
			}
		}
		if err == io.EOF {
			return c, units, nil
		}
		if err != nil {
			return c, units, err
		}
	}
}

// flush shows what has been written so far, where w keeps it back.
func flush(w io.Writer) {
	if b, ok := w.(interface{ Flush() error }); ok {
		_ = b.Flush()
	}
}
