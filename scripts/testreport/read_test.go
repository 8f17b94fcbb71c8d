package main

import (
	"io"
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
			got, err := readGo(strings.NewReader(strings.TrimPrefix(c.input, "\n")), &shown)
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
		got, err := readNode(strings.NewReader(input), io.Discard)
		if want := (Count{2, 1, 1}); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestCommandThatRunsNothingFails(t *testing.T) {
	for _, command := range [][]string{{"true"}, {"false"}, {"/nonexistent/command"}} {
		if got, err := run(readNode, command); err == nil || got != (Count{Failed: 1}) {
			t.Errorf("%v: got %+v, %v, want one failure", command, got, err)
		}
	}
}
