package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
)

// recording is one person's streams as other programs read them: a WebM file of
// VP8 and Opus (RFC 9559; Opus in it: RFC 7845, section 5.1, and the codec's
// mapping of Matroska).
type recording struct {
	width, height, fps int
	channels           int
	file               bytes.Buffer
	cluster            bytes.Buffer
	base               int64 // ms, of the cluster
}

// The elements' numbers, with their length marks.
const (
	ebmlHeader, ebmlDocType, ebmlDocVersion, ebmlDocRead = 0x1A45DFA3, 0x4282, 0x4287, 0x4285
	mkvSegment, mkvInfo, mkvScale, mkvMuxer, mkvWriter   = 0x18538067, 0x1549A966, 0x2AD7B1, 0x4D80, 0x5741
	mkvTracks, mkvTrack, mkvNumber, mkvUID, mkvType      = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83
	mkvCodec, mkvPrivate, mkvDuration                    = 0x86, 0x63A2, 0x23E383
	mkvVideo, mkvWidth, mkvHeight                        = 0xE0, 0xB0, 0xBA
	mkvAudio, mkvRate, mkvChannels                       = 0xE1, 0xB5, 0x9F
	mkvCluster, mkvTime, mkvBlock                        = 0x1F43B675, 0xE7, 0xA3
)

// element is an element's number, size and content.
func element(id uint32, content ...[]byte) []byte {
	body := bytes.Join(content, nil)
	var number [4]byte
	binary.BigEndian.PutUint32(number[:], id)
	size := make([]byte, 8)
	binary.BigEndian.PutUint64(size, uint64(len(body))|1<<56)
	return bytes.Join([][]byte{bytes.TrimLeft(number[:], "\x00"), size, body}, nil)
}

func unsigned(id uint32, v uint64) []byte {
	return element(id, binary.BigEndian.AppendUint64(nil, v))
}

func text(id uint32, s string) []byte { return element(id, []byte(s)) }

func newRecording(width, height, fps, channels int) *recording {
	r := &recording{width: width, height: height, fps: fps, channels: channels, base: -1}
	head := append([]byte("OpusHead\x01"), byte(channels), 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0) // no pre-skip, 48 kHz
	rate := binary.BigEndian.AppendUint64(nil, math.Float64bits(48000))
	r.file.Write(element(ebmlHeader, text(ebmlDocType, "webm"), unsigned(ebmlDocVersion, 4), unsigned(ebmlDocRead, 2)))
	// A segment of unknown size holds what follows to the end of the file.
	r.file.Write([]byte{mkvSegment >> 24, mkvSegment >> 16 & 0xff, mkvSegment >> 8 & 0xff, mkvSegment & 0xff, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	r.file.Write(element(mkvInfo, unsigned(mkvScale, 1e6), text(mkvMuxer, "mixdown"), text(mkvWriter, "mixdown")))
	r.file.Write(element(mkvTracks,
		element(mkvTrack, unsigned(mkvNumber, 1), unsigned(mkvUID, 1), unsigned(mkvType, 1), text(mkvCodec, "V_VP8"),
			unsigned(mkvDuration, uint64(1e9/fps)), element(mkvVideo, unsigned(mkvWidth, uint64(width)), unsigned(mkvHeight, uint64(height)))),
		element(mkvTrack, unsigned(mkvNumber, 2), unsigned(mkvUID, 2), unsigned(mkvType, 2), text(mkvCodec, "A_OPUS"),
			element(mkvPrivate, head), element(mkvAudio, element(mkvRate, rate), unsigned(mkvChannels, uint64(channels)))),
	))
	return r
}

// add appends a picture (track 1) or 20 ms of sound (track 2). Times, in ms,
// must not fall.
func (r *recording) add(track byte, ms int64, key bool, data []byte) {
	if r.base < 0 || ms-r.base >= 1000 {
		r.flush()
		r.base = ms
	}
	head := []byte{0x80 | track, byte((ms - r.base) >> 8), byte(ms - r.base), 0}
	if key {
		head[3] = 0x80
	}
	r.cluster.Write(element(mkvBlock, head, data))
}

func (r *recording) flush() {
	if r.base >= 0 {
		r.file.Write(element(mkvCluster, unsigned(mkvTime, uint64(r.base)), r.cluster.Bytes()))
	}
	r.cluster.Reset()
}

// record writes so many seconds of what person id sends, from a keyframe on.
func (j *job) record(path string, id, seconds int) error {
	r := newRecording(jobWidth, jobHeight, jobFPS, 1)
	// All begin in the same second, each at its own keyframe of it.
	first := int64(0)
	for !j.picture(id, first).Keyframe {
		if first++; first > jobFPS {
			return fmt.Errorf("clip %d: no keyframe in its first second", id)
		}
	}
	sound := first * 1000 / jobFPS / soundTick.Milliseconds()
	for n := range int64(seconds * jobFPS) {
		p := j.picture(id, first+n)
		r.add(1, n*1000/jobFPS, p.Keyframe, p.Data)
		for range 2 { // 25 pictures and 50 packets a second
			data, _ := j.packet(id, sound)
			r.add(2, (sound-first*1000/jobFPS/soundTick.Milliseconds())*soundTick.Milliseconds(), true, data)
			sound++
		}
	}
	r.flush()
	return os.WriteFile(path, r.file.Bytes(), 0o644)
}
