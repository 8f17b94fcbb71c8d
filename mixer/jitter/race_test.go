//go:build race

package jitter

// raced is true under the race detector, which makes hours of sound ten times
// as long.
const raced = true
