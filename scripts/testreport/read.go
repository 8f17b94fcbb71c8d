package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
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
func readGo(r io.Reader, w io.Writer) (Count, error) {
	var total Count
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
				case "skip":
					count.Skipped++
					fmt.Fprint(w, text)
				}
				tests[e.Package] = count
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
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

// readNode passes the runner's words on and adds up its summaries.
func readNode(r io.Reader, w io.Writer) (Count, error) {
	var c Count
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		fmt.Fprint(w, line)
		flush(w)
		if m := nodeSum.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return c, fmt.Errorf("summary %q: %w", line, err)
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
			return c, nil
		}
		if err != nil {
			return c, err
		}
	}
}

// flush shows what has been written so far, where w keeps it back.
func flush(w io.Writer) {
	if b, ok := w.(interface{ Flush() error }); ok {
		_ = b.Flush()
	}
}
