package child

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestStop(t *testing.T) {
	c := Prepare(nil, "/bin/sh", "-c", "trap 'echo ends; exit 3' TERM; echo begun; while :; do sleep 0.05; done")
	if err := c.Start(nil); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(c.Tail(), "begun") {
		time.Sleep(5 * time.Millisecond)
	}
	c.Stop()
	if err := c.Err(); err == nil || !strings.Contains(c.Last(err).Error(), "ends") {
		t.Errorf("it ended with %v, having said %q", err, c.Tail())
	}
	c.Stop() // once more does nothing
}

func TestWithin(t *testing.T) {
	c := Prepare(nil, "/bin/sh", "-c", "exec sleep 60")
	if err := c.Start(nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Within(ctx); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	<-c.Gone()
}

func TestSum(t *testing.T) {
	m := Metrics{`a_total{tier="x",room="weak"}`: 2, `a_total{tier="y",room="weak"}`: 3, `a_total_more{room="weak"}`: 9, "b": 4}
	if m.Sum("a_total") != 5 || m.Sum("a_total", `tier="y"`) != 3 || m.Sum("b") != 4 || m.Sum("c") != 0 {
		t.Errorf("%v %v", m.Sum("a_total"), m.Sum("a_total", `tier="y"`))
	}
}
