//go:build race

package audio

// thorough is false under the race detector, which finds nothing more in more
// trials and makes each ten times as long.
const thorough = false
