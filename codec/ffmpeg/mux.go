package ffmpeg

/*
#cgo pkg-config: libavformat libavcodec libavutil
#include <stdlib.h>
#include "mux.h"
*/
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unsafe"

	"github.com/asticode/go-astiav"

	"mixdown/codec"
)

// coded is what libavformat has to know of a codec.
type coded struct {
	name    string // of libavcodec's descriptor
	padding int    // samples that decoders put before the first one
}

// opusPadding is libopus' look-ahead at 48 kHz (RFC 7845, section 4.2).
const opusPadding = 312

// names has the codecs by their RTP encoding names. AAC's is that of files.
var names = map[string]coded{
	"VP8": {"vp8", 0}, "VP9": {"vp9", 0}, "H264": {"h264", 0}, "AV1": {"av1", 0},
	"opus": {"opus", opusPadding}, "AAC": {"aac", aacPadding},
	"L16": {"pcm_s16be", 0}, "PCMU": {"pcm_mulaw", 0}, "PCMA": {"pcm_alaw", 0}, "G722": {"adpcm_g722", 0},
}

// Muxer is a codec.Muxer of libavformat. Its time is that of the first
// keyframe, or of the first sound where there are no pictures, if the caller's
// is: it changes none, but for what decoders put before the first sample.
type Muxer struct {
	c      *C.muxer
	tracks []codec.Track
	padded []int
	out    io.Writer   // nil: libavformat writes to an address
	at     io.WriterAt // nil: out only appends
	begun  bool
	failed error         // of out
	limit  time.Duration // of one call

	mu sync.Mutex // guards c against Interrupt after Close
}

var _ codec.NewMuxer = NewMuxer

// NewMuxer implements codec.NewMuxer.
func NewMuxer(out io.Writer, cfg codec.MuxConfig) (codec.Muxer, error) {
	m := &Muxer{out: out}
	m.at, _ = out.(io.WriterAt)
	if err := m.open(cfg, ""); err != nil {
		return nil, err
	}
	return m, nil
}

// Dial opens a Muxer that sends to an address by one of libavformat's protocols
// ("rtmp://…", "srt://…", "rtp://…"). The connection is made with the first
// unit. No call takes longer than limit (0: no bound); a server that does not
// answer, or takes nothing, ends it with an error. Interrupt ends a call from
// another goroutine.
func Dial(address string, limit time.Duration, cfg codec.MuxConfig) (*Muxer, error) {
	m := &Muxer{limit: limit}
	if err := m.open(cfg, address); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Muxer) open(cfg codec.MuxConfig, address string) error {
	astiav.SetLogLevel(astiav.LogLevelQuiet) // see Open
	m.c = (*C.muxer)(C.calloc(1, C.sizeof_muxer))
	m.tracks = append(m.tracks, cfg.Tracks...)
	if err := m.describe(cfg, address); err != nil {
		return fmt.Errorf("%s muxer: %w", cfg.Format, errors.Join(err, m.Close()))
	}
	return nil
}

func (m *Muxer) describe(cfg codec.MuxConfig, address string) error {
	var free []unsafe.Pointer
	defer func() {
		for _, p := range free {
			C.free(p)
		}
	}()
	text := func(s string) *C.char {
		if s == "" {
			return nil
		}
		c := C.CString(s)
		free = append(free, unsafe.Pointer(c))
		return c
	}
	seekable := C.int(0)
	if m.at != nil {
		seekable = 1
	}
	if rc := C.mux_open(m.c, text(cfg.Format), text(address), seekable); rc < 0 {
		return wrong("open", rc)
	}
	for key, value := range cfg.Options {
		C.mux_option(m.c, text(key), text(value))
	}
	for key, value := range cfg.Tags {
		C.mux_tag(m.c, text(key), text(value))
	}
	for _, c := range cfg.Chapters {
		if rc := C.mux_chapter(m.c, C.int64_t(c.From/time.Millisecond), C.int64_t(c.To/time.Millisecond), text(c.Title)); rc < 0 {
			return wrong("add a chapter", rc)
		}
	}
	for i, t := range cfg.Tracks {
		known, ok := names[t.Codec.Name]
		if !ok {
			return fmt.Errorf("track %d: %s is in no container", i, t.Codec.Name)
		}
		rc := C.mux_add(m.c, text(known.name), C.int(t.Codec.ClockRate), C.int(t.Width), C.int(t.Height),
			C.int(t.Format.Rate), C.int(t.Format.Channels), C.int64_t(t.Bitrate))
		if rc < 0 {
			return wrong(fmt.Sprintf("add track %d of %s", i, t.Codec.Name), rc)
		}
		header := t.Header
		if header == nil && known.name == "opus" {
			header = opusHead(t.Format)
		}
		m.padded = append(m.padded, known.padding)
		if header == nil {
			continue
		}
		m.tracks[i].Header = header
		if rc := C.mux_extra(m.c, C.int(i), bytesOf(header), C.size_t(len(header)), C.int(known.padding)); rc < 0 {
			return wrong("describe a track", rc)
		}
	}
	return nil
}

// opusHead is the identification header (RFC 7845, section 5.1).
func opusHead(f codec.AudioFormat) []byte {
	head := append([]byte("OpusHead"), 1, byte(f.Channels))
	head = binary.LittleEndian.AppendUint16(head, opusPadding)
	head = binary.LittleEndian.AppendUint32(head, uint32(f.Rate))
	return append(head, 0, 0, 0)
}

// Write implements codec.Muxer.
func (m *Muxer) Write(track int, u codec.Unit, pts, duration time.Duration) error {
	if m.c == nil {
		return errors.New("mux: used after Close")
	}
	if len(u.Data) == 0 {
		return nil
	}
	m.within()
	if err := m.begin(track, u); err != nil {
		return err
	}
	clock := int64(m.tracks[track].Codec.ClockRate)
	key := C.int(0)
	if u.Keyframe || m.tracks[track].Codec.Kind == codec.Audio {
		key = 1
	}
	rc := C.mux_write(m.c, C.int(track), bytesOf(u.Data), C.size_t(len(u.Data)),
		C.int64_t(ticks(pts, clock)-int64(m.padded[track])), C.int64_t(ticks(duration, clock)), C.int(clock), key)
	return m.drain("write", rc)
}

// ticks rounds to the nearest.
func ticks(d time.Duration, clock int64) int64 {
	const second = int64(time.Second)
	whole, part := int64(d)/second, int64(d)%second
	half := second / 2
	if part < 0 {
		half = -half
	}
	return whole*clock + (part*clock+half)/second
}

// begin writes the header as soon as all tracks are known.
func (m *Muxer) begin(track int, u codec.Unit) error {
	if m.begun {
		return nil
	}
	if t := &m.tracks[track]; t.Codec.Kind == codec.Video && t.Header == nil && u.Keyframe {
		rc := C.mux_extract(m.c, C.int(track), bytesOf(u.Data), C.size_t(len(u.Data)))
		if rc < 0 && (t.Codec.Name == "H264" || t.Codec.Name == "AV1") {
			return wrong("find the parameters of "+t.Codec.Name, rc)
		}
		t.Header = []byte{} // or there are none, as with VP8
	}
	for _, t := range m.tracks {
		if t.Codec.Kind == codec.Video && t.Header == nil {
			return codec.ErrEarly
		}
	}
	m.begun = true
	return m.drain("begin", C.mux_begin(m.c))
}

// Flush implements codec.Muxer.
func (m *Muxer) Flush() error {
	if m.c == nil || !m.begun {
		return nil
	}
	m.within()
	return m.drain("flush", C.mux_flush(m.c))
}

// SetChapters replaces MuxConfig.Chapters, for formats that have them at the
// end: MP4 that is no fragments, Matroska.
func (m *Muxer) SetChapters(all []codec.Chapter) error {
	C.mux_nochapters(m.c)
	for _, c := range all {
		title := C.CString(c.Title)
		rc := C.mux_chapter(m.c, C.int64_t(c.From/time.Millisecond), C.int64_t(c.To/time.Millisecond), title)
		C.free(unsafe.Pointer(title))
		if rc < 0 {
			return wrong("add a chapter", rc)
		}
	}
	return nil
}

// Remux copies what plays of the file in into a new file out, with cfg's
// Format, Options and Chapters, and returns how long it is. Nothing is decoded.
func Remux(in, out string, cfg codec.MuxConfig) (time.Duration, error) {
	astiav.SetLogLevel(astiav.LogLevelQuiet) // see Open
	m := &Muxer{c: (*C.muxer)(C.calloc(1, C.sizeof_muxer))}
	defer m.Close()
	if err := m.describe(codec.MuxConfig{Format: cfg.Format, Options: cfg.Options, Chapters: cfg.Chapters}, "file:"+out); err != nil {
		return 0, err
	}
	from := C.CString("file:" + in)
	defer C.free(unsafe.Pointer(from))
	var length C.int64_t
	rc := C.mux_copy(m.c, from, &length)
	if rc == C.int(astiav.ErrEof) {
		return 0, nil // it ended before anything that plays: a header alone
	}
	if rc < 0 {
		return 0, wrong("copy "+in, rc)
	}
	return time.Duration(length) * time.Microsecond, nil
}

// SDP describes what is sent, for who receives RTP without asking. It is to be
// called after the first unit was written.
func (m *Muxer) SDP() (string, error) {
	const size = 4096
	text := (*C.char)(C.calloc(1, size))
	defer C.free(unsafe.Pointer(text))
	if rc := C.mux_sdp(m.c, text, size); rc < 0 {
		return "", wrong("describe", rc)
	}
	return C.GoString(text), nil
}

// Interrupt ends a call that another goroutine is in, and all after it but
// Close. It may be called at any time.
func (m *Muxer) Interrupt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.c != nil {
		C.mux_stop(m.c)
	}
}

func (m *Muxer) within() {
	if m.limit > 0 {
		C.mux_within(m.c, C.int64_t(m.limit/time.Microsecond))
	}
}

// drain writes what libavformat has left.
func (m *Muxer) drain(doing string, rc C.int) error {
	if rc < 0 {
		return wrong(doing, rc)
	}
	if m.out == nil || m.c.n == 0 {
		return nil
	}
	defer C.mux_taken(m.c)
	if m.failed != nil {
		return m.failed // what came after a hole would make it worse
	}
	data := unsafe.Slice((*byte)(m.c.out), m.c.size)
	for _, p := range unsafe.Slice(m.c.pieces, m.c.n) {
		var err error
		if part := data[:p.size]; m.at != nil {
			_, err = m.at.WriteAt(part, int64(p.at))
		} else {
			_, err = m.out.Write(part)
		}
		if err != nil {
			m.failed = err
			return err
		}
		data = data[p.size:]
	}
	return nil
}

// Close implements codec.Muxer.
func (m *Muxer) Close() (err error) {
	if m.c == nil {
		return nil
	}
	m.within()
	if m.begun {
		err = m.drain("end", C.mux_end(m.c))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	C.mux_free(m.c)
	C.free(unsafe.Pointer(m.c))
	m.c = nil
	return err
}

func bytesOf(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))) }

// wrong words an error of libavformat.
func wrong(doing string, rc C.int) error { return fmt.Errorf("mux: %s: %w", doing, astiav.Error(rc)) }
