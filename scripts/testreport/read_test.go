package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadGo(t *testing.T) {
	for name, c := range map[string]struct {
		input string
		want  Count
		shown string
	}{
		"a pass, a skip, a failure with a subtest": {`
{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"no root\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC/x","Output":"loud\n"}
{"Action":"fail","Package":"p","Test":"TestC/x"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p"}
`, Count{1, 1, 1}, "no root\nloud\n"},
		"a package that does not build": {`
{"Action":"build-output","ImportPath":"p","Output":"undefined: x\n"}
{"Action":"build-fail","ImportPath":"p"}
{"Action":"fail","Package":"p"}
`, Count{0, 1, 0}, "undefined: x\n"},
		"a panic after a pass": {`
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"panic: y\n"}
{"Action":"fail","Package":"p"}
`, Count{1, 1, 0}, "panic: y\n"},
		"a package without tests": {`
{"Action":"skip","Package":"p"}
`, Count{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var shown strings.Builder
			got, _, err := readGo(strings.NewReader(strings.TrimPrefix(c.input, "\n")), &shown)
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
			if !strings.Contains(shown.String(), c.shown) || strings.Contains(shown.String(), "quiet") {
				t.Errorf("shown: %q", shown.String())
			}
		})
	}
}

func TestReadNode(t *testing.T) {
	for name, input := range map[string]string{
		"spec": "✔ joins (3ms)\nℹ tests 4\nℹ pass 2\nℹ fail 1\nℹ cancelled 0\nℹ skipped 1\nℹ todo 0\n",
		"tap":  "ok 1 - pass 9\n# tests 4\n# pass 2\n# fail 0\n# cancelled 1\n# skipped 1\n# todo 0",
	} {
		got, _, err := readNode(strings.NewReader(input), io.Discard)
		if want := (Count{2, 1, 1}); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestCommandThatRunsNothingFails(t *testing.T) {
	for _, command := range [][]string{{"true"}, {"false"}, {"/nonexistent/command"}} {
		if got, _, err := run(readNode, command); err == nil || got != (Count{Failed: 1}) {
			t.Errorf("%v: got %+v, %v, want one failure", command, got, err)
		}
	}
}

func TestSecondLook(t *testing.T) {
	for name, c := range map[string]struct {
		read    reader
		command string
		input   string
		want    []string // what is run again
	}{
		"a Go test under the race detector": {readGo, "go test -json -race ./...", `
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB/x","Output":"late\n"}
{"Action":"fail","Package":"p","Test":"TestB/x"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
`, []string{"1 k go test -json -count=1 -timeout 15m -race -run ^TestB$ p"}},
		"a race": {readGo, "go test -json -race ./...", `
{"Action":"output","Package":"p","Test":"TestB","Output":"WARNING: DATA RACE\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
`, nil},
		"a package that does not build beside a test that fails": {readGo, "go test -json ./...", `
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
{"Action":"fail","Package":"q"}
`, nil},
		"four tests": {readGo, "go test -json ./...", `
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p","Test":"TestD"}
{"Action":"fail","Package":"p"}
`, nil},
		"a file of Node tests": {readNode, "node --test a.test.js b.test.js", `
ok 1 - joins
  ---
  ...
not ok 2 - leaves
  ---
  location: '/w/b.test.js:78:1'
  error: |-
    late
  ...
not ok 3 - is gone
  ---
  location: '/w/b.test.js:99:1'
  ...
# pass 1
# fail 2
`, []string{"2 k node --test /w/b.test.js"}},
	} {
		t.Run(name, func(t *testing.T) {
			count, units, err := c.read(strings.NewReader(strings.TrimPrefix(c.input, "\n")), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "again")
			if deferred(count, units) != (c.want != nil) {
				t.Fatalf("%+v, %+v: a second look: %v", count, units, c.want == nil)
			}
			if c.want == nil {
				return
			}
			if err := writeAgain(file, "k", strings.Fields(c.command), units); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if want := strings.Join(c.want, "\n") + "\n"; err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
}
