package sip

import (
	"bytes"
	"context"
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestCallsASecond has sipp make 20 calls a second: none is lost, and what they
// cost in memory is given back. MIXDOWN_SIPP says for how long.
func TestCallsASecond(t *testing.T) {
	if _, err := exec.LookPath("sipp"); err != nil {
		t.Skip("no sipp; scripts/setup.sh test installs it")
	}
	length := 5 * time.Second
	if s := os.Getenv("MIXDOWN_SIPP"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal("MIXDOWN_SIPP:", err)
		}
	}
	scenario, err := filepath.Abs("testdata/sipp/call.xml")
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, nil)
	const rate = 20
	round := func(calls int) uint64 {
		dir := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(calls)*time.Second/rate+30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sipp", l.Addr().String(), "-sf", scenario, "-s", "demo", "-i", "127.0.0.1", "-r", strconv.Itoa(rate), "-m", strconv.Itoa(calls),
			"-nostdin", "-trace_stat", "-stf", filepath.Join(dir, "stat.csv"), "-recv_timeout", "5000")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TERM=dumb")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sipp: %v\n%s", err, out)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "stat.csv"))
		if err != nil {
			t.Fatal(err)
		}
		r := csv.NewReader(bytes.NewReader(raw))
		r.Comma, r.FieldsPerRecord = ';', -1
		rows, err := r.ReadAll()
		if err != nil || len(rows) < 2 {
			t.Fatal("sipp's figures:", err)
		}
		last := rows[len(rows)-1]
		for i, name := range rows[0] {
			if i >= len(last) {
				break
			}
			switch name {
			case "FailedCall(C)":
				if last[i] != "0" {
					t.Errorf("%s calls of %d were lost", last[i], calls)
				}
			case "SuccessfulCall(C)":
				if last[i] != strconv.Itoa(calls) {
					t.Errorf("%s calls of %d", last[i], calls)
				}
			case "Retransmissions(C)":
				t.Logf("%d calls, %s messages sent again", calls, last[i])
			case "ResponseTime1(C)":
				t.Log("mean time to an answer:", strings.TrimSpace(last[i]))
			}
		}
		l.wires.mu.Lock()
		l.wires.legs = nil
		l.wires.mu.Unlock()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	calls := int(length.Seconds()) * rate
	if calls < 40*rate { // what is remembered of a call is, for 32 s
		round(calls)
	} else {
		first := round(calls / 2) // then as many come as go
		second := round(calls)
		t.Logf("heap %d kB after %d calls, %d kB after %d", first>>10, calls/2, second>>10, calls+calls/2)
		if second > first+first/5+1<<20 {
			t.Errorf("memory grew from %d to %d bytes", first, second)
		}
	}
	if n := testutil.ToFloat64(l.count.answered); n < float64(calls) {
		t.Errorf("%v calls stood of %d", n, calls)
	}
}
