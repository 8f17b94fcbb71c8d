package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// fields returns the fields of a struct of the configuration by their keys.
func fields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("koanf"); key != "" {
			out[key] = t.Field(i).Type
		}
	}
	return out
}

// leaves lists the keys below a struct that hold values text can give.
func leaves(t reflect.Type, prefix string) []string {
	var out []string
	for key, ft := range fields(t) {
		switch {
		case ft.Kind() == reflect.Struct:
			out = append(out, leaves(ft, prefix+key+".")...)
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct:
			// a list of sections has no form in the environment
		default:
			out = append(out, prefix+key)
		}
	}
	slices.Sort(out)
	return out
}

// unknown names the keys of m that t does not have, and the nearest that it
// does.
func unknown(m map[string]any, t reflect.Type, prefix string) []error {
	have := fields(t)
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(m)) {
		ft, ok := have[key]
		if !ok {
			errs = append(errs, fmt.Errorf("unknown key %s; did you mean %s?", prefix+key, prefix+nearest(key, keysOf(have))))
			continue
		}
		errs = append(errs, section(m[key], ft, prefix+key)...)
	}
	return errs
}

// section checks one value of the file against the type it is for.
func section(v any, t reflect.Type, at string) []error {
	list := t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
	switch v := v.(type) {
	case map[string]any:
		if t.Kind() == reflect.Struct {
			return unknown(v, t, at+".")
		}
	case []any:
		if !list {
			break
		}
		var errs []error
		for i, item := range v {
			errs = append(errs, section(item, t.Elem(), fmt.Sprintf("%s[%d]", at, i))...)
		}
		return errs
	}
	switch {
	case t.Kind() == reflect.Struct:
		return []error{fmt.Errorf("%s: must be a section with keys such as %s", at, keysOf(fields(t))[0])}
	case list:
		return []error{fmt.Errorf("%s: must be a list of sections", at)}
	}
	return nil
}

func keysOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// nearest returns the candidate with the fewest edits from word.
func nearest(word string, candidates []string) string {
	best, least := "", 0
	for _, c := range candidates {
		if d := edits(strings.ToLower(word), strings.ToLower(c)); best == "" || d < least {
			best, least = c, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two short words; what is beyond 100
// bytes is not looked at.
func edits(a, b string) int {
	a, b = a[:min(len(a), 100)], b[:min(len(b), 100)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
