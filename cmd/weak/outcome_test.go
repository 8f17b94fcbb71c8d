package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"mixdown/cmd/weak/link"
)

func TestFiguresInJSON(t *testing.T) {
	b, err := json.Marshal([]Figure{1.25, none, 0, Figure(math.Inf(1))})
	if err != nil || string(b) != "[1.25,null,0,null]" {
		t.Fatalf("%s %v", b, err)
	}
	var back []Figure
	if err := json.Unmarshal(b, &back); err != nil || back[0] != 1.25 || back[1].known() || back[2] != 0 {
		t.Errorf("%v %v", back, err)
	}
	if (Goal{Limit: 5}).Met(none) || (Goal{Limit: 0, Least: true}).Met(none) || !(Goal{Limit: 5}).Met(5) || (Goal{Limit: 5, Least: true}).Met(4) {
		t.Error("goals")
	}
	if quantile(nil, 0.5).known() || quantile([]float64{3, 1, 2}, 0.5) != 2 || quantile([]float64{3, 1, 2}, 1) != 3 || quantile([]float64{3, 1, 2}, 0) != 1 {
		t.Error("quantiles")
	}
}

func TestMediansOfRuns(t *testing.T) {
	run := func(fps, back Figure) *Outcome {
		o := &Outcome{Row: "step", Back: back, Regained: none}
		o.Weak.Picture.FPS, o.Down.WaitP95 = fps, 10*fps
		return o
	}
	m := medians([]*Outcome{run(5, 1), run(1, none), run(3, none)})
	if m.Weak.Picture.FPS != 3 || m.Down.WaitP95 != 30 || m.Back.known() || m.Regained.known() || m.Row != "step" {
		t.Errorf("%+v", m)
	}
}

func TestLaneOfCounters(t *testing.T) {
	s := link.NewShaper(link.Shape{Rate: 100_000}, 1)
	at := time.Unix(1000, 0)
	for i := range 20 { // twice the rate
		s.Push(at.Add(time.Duration(i)*50*time.Millisecond), make([]byte, 1250))
	}
	c := s.Counters(at.Add(time.Second))
	l := lane(c, 1, 100_000)
	near(t, "offered", l.Offered, 2, 0.001)
	near(t, "kb/s", l.Kbps, 200, 0.001)
	near(t, "dropped", l.Dropped, float64(c.Dropped)/20, 0.001)
	if c.Dropped == 0 || l.WaitP95 < 100 || lane(c, 1, 0).Offered.known() {
		t.Errorf("%d dropped, %+v", c.Dropped, l)
	}
}

func TestReportOfOutcomes(t *testing.T) {
	dir := t.TempDir()
	began := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, row := range rows {
		for n := range 3 {
			o := &Outcome{Row: row.Name, Version: "new", Began: began.Add(time.Duration(i*10+n) * time.Minute), Back: none}
			o.Weak.Picture.FPS, o.Weak.Sound.Concealed = Figure(20+n), none
			o.Timeline = []Moment{{At: 0, Rate: 100}, {At: 1, Rate: 100, Offered: 300, Age: none}}
			if n == 0 {
				o.Version = "old"
				o.Weak.Picture.FPS = 1
			}
			if row.Name == "50k" && n == 2 {
				o.Failed = "nothing came"
			}
			if err := o.save(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	docs := t.TempDir()
	if err := (&reportCommand{Kept: dir, Docs: docs}).Run(); err != nil {
		t.Fatal(err)
	}
	kept, err := outcomes(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := markdown(latest(kept), "Noted.")
	for _, want := range []string{
		"; 2 runs of each row;", "Noted.", "Run 1 of 2 failed: nothing came", "| pictures a second | ≥ 12  | 21.00 | 21 … 22 | met, 2 of 2 runs |",
		"| concealed | ≤ 1 % | – | – | **missed**, 0 of 2 runs |", "strong: pictures a second", "](weak-step.svg)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no %q:\n%s", want, text)
		}
	}
	for _, row := range rows {
		if !strings.Contains(text, plotName(row)) {
			t.Errorf("no plot of %s", row.Name)
		}
	}
	if err := (&reportCommand{Kept: t.TempDir(), Docs: docs}).Run(); err == nil {
		t.Error("a report of nothing")
	}
}

func TestPick(t *testing.T) {
	if got, err := pick([]string{"50k", "free"}); err != nil || len(got) != 2 || got[0].Name != "50k" {
		t.Error(got, err)
	}
	if _, err := pick([]string{"9k"}); err == nil || !strings.Contains(err.Error(), "50k") {
		t.Error(err)
	}
	for _, r := range rows {
		for _, s := range r.Steps {
			if err := s.Down.Validate(); err != nil {
				t.Error(r.Name, err)
			}
		}
		if !r.Free && len(r.goals(nil)) < 7 {
			t.Errorf("%s has few goals", r.Name)
		}
	}
}
