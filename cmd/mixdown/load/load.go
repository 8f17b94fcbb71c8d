// Package load is `mixdown load`: bots that join a room over real WebRTC, send
// generated people who speak in turns, and measure what comes back.
//
//	person ─ draw ─▶ VP8 ┐              ┌─▶ receiver: packets, gaps, frames, join time
//	                     ├ Clip ─ Bot ──┤
//	speech + tone ─▶ Opus┘   (paced)    └─▶ listener: decode, bar codes → ages, tones → who is heard
//
// Clips are made once, kept in a directory, and shared by all bots of a
// process: sending one costs a bot no encoding.
package load
