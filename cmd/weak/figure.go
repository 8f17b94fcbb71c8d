package main

import (
	"math"
	"slices"
	"strconv"
)

// Figure is a measured value; NaN, null in JSON, where nothing could be
// measured, which meets no goal.
type Figure float64

var none = Figure(math.NaN())

func (f Figure) known() bool { return !math.IsNaN(float64(f)) }

// MarshalJSON writes four digits after the point, or null.
func (f Figure) MarshalJSON() ([]byte, error) {
	if !f.known() || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, math.Round(float64(f)*1e4)/1e4, 'f', -1, 64), nil
}

// UnmarshalJSON takes null for NaN.
func (f *Figure) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = none
		return nil
	}
	v, err := strconv.ParseFloat(string(b), 64)
	*f = Figure(v)
	return err
}

// quantile returns the value that the given share of the values does not
// exceed; NaN of none.
func quantile(values []float64, share float64) Figure {
	if len(values) == 0 {
		return none
	}
	sorted := slices.Sorted(slices.Values(values))
	return Figure(sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)])
}

func median(values []float64) Figure { return quantile(values, 0.5) }

// ratio returns a/b, NaN for nothing of nothing.
func ratio(a, b float64) Figure {
	if b == 0 {
		return none
	}
	return Figure(a / b)
}
