package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// readLoad reads what `mixdown load --json` wrote.
func readLoad(path string) (Sample, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	if err := json.Unmarshal(text, &s); err != nil {
		return Sample{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
