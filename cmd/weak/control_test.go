package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"mixdown/cmd/weak/link"
)

// TestLinesAreObeyed says lines as another program would.
func TestLinesAreObeyed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	l, err := link.Open(t.Context(), link.Config{Paths: 2})
	if err != nil {
		t.Skipf("no link is to be had here: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	var out bytes.Buffer
	c := &control{link: l, out: json.NewEncoder(&out)}
	lines := "both rate=150k loss=2%\n\nup rate=50k\ndown rate=fast\ndance\noutage\noutage 1ms\ncut\nrestore\nsleep 1ms\nmove\nstats\n"
	if err := c.obey(t.Context(), strings.NewReader(lines)); err != nil {
		t.Fatal(err)
	}
	var got []answer
	for d := json.NewDecoder(&out); d.More(); {
		var a answer
		if err := d.Decode(&a); err != nil {
			t.Fatal(err)
		}
		got = append(got, a)
	}
	want := []bool{true, true, false, false, false, true, true, true, true, true, true}
	if len(got) != len(want) {
		t.Fatalf("%d answers", len(got))
	}
	for i, ok := range want {
		if got[i].OK != ok || ok != (got[i].Error == "") {
			t.Errorf("answer %d: %+v", i, got[i])
		}
	}
	if moved := got[9]; len(moved.Client) == 0 || moved.Client[0] != l.Client()[0] {
		t.Errorf("after the move: %+v", moved)
	}
	if stats := got[10]; stats.Up == nil || stats.Up.Shape != "rate=50k loss=2%" || stats.Down.Shape != "rate=150k loss=2%" {
		t.Errorf("%+v", stats)
	}
}
