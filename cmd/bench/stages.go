package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Stage is one benchmark of one package.
type Stage struct {
	Package string             // below this module
	Name    string             // without "Benchmark" and the number of CPUs
	Values  map[string]float64 // by unit: ns/op, B/op, allocs/op, and the benchmark's own; medians
}

func runStages(ctx context.Context, cfg Config) ([]Stage, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchmem", "-p", "1",
		"-benchtime", cfg.BenchTime, "-count", strconv.Itoa(cfg.Runs), cfg.Packages)
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(&out, os.Stderr)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return parseStages(&out)
}

// result is a line as testing.B prints it: the name with GOMAXPROCS, how often
// it ran, then pairs of a value and its unit.
var result = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.+)$`)

// parseStages reads the output of go test -bench -count N; several results of
// one benchmark become their median.
func parseStages(r io.Reader) ([]Stage, error) {
	type key struct{ pkg, name string }
	values := make(map[key]map[string][]float64)
	var order []key
	pkg := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if p, ok := strings.CutPrefix(line, "pkg: "); ok {
			_, pkg, _ = strings.Cut(p, "/")
			continue
		}
		m := result.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		k := key{pkg, m[1]}
		if values[k] == nil {
			values[k] = make(map[string][]float64)
			order = append(order, k)
		}
		fields := strings.Fields(m[2])
		for i := 0; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("benchmark line %q: %w", line, err)
			}
			values[k][fields[i+1]] = append(values[k][fields[i+1]], v)
		}
	}
	var stages []Stage
	for _, k := range order {
		s := Stage{Package: k.pkg, Name: k.name, Values: make(map[string]float64)}
		for unit, vs := range values[k] {
			s.Values[unit] = median(vs)
		}
		stages = append(stages, s)
	}
	return stages, lines.Err()
}

// median of an even number of values is the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
