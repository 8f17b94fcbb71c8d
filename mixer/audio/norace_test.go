//go:build !race

package audio

const thorough = true
