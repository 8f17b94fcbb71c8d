package ffmpeg

/*
#cgo pkg-config: libavformat libavcodec libavutil libswscale libswresample
#include "media.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"io"
	"runtime/cgo"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/asticode/go-astiav"

	"mixdown/codec"
)

// mediaFormats are the containers that a reader's bytes may be: none that
// names other files or connections, except playlists of HLS, whose addresses
// codec.MediaSource.Open judges.
const mediaFormats = "mov,mp4,m4a,matroska,webm,mpegts,mpeg,flv,hls,ogg,wav,mp3,aac,flac,avi,h264,hevc,ivf,obu,gif,mjpeg," +
	"png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,tiff_pipe,aiff,au,caf,amr,w64,asf"

// streamFormats are what libavformat may find behind an address it connects
// to itself.
const streamFormats = "flv,live_flv,rtsp,mpegts"

// streamProtocols are what such an address may use. SDP, files and all that leads
// elsewhere are not among them.
const streamProtocols = "rtmp,tcp,srt"

// ErrTimeout is the answer to media that did not come in time.
var ErrTimeout = errors.New("nothing came in time")

// Media implements codec.Media with libavformat.
type Media struct {
	info    codec.MediaInfo
	timeout time.Duration
	opener  cgo.Handle // 0: none

	mu sync.Mutex // guards d against Interrupt after Close
	d  *C.demux
}

var _ codec.Media = (*Media)(nil)

// OpenMedia opens a file or stream and finds out what is in it. interrupt, if not
// nil, ends the opening when it is closed.
func OpenMedia(src codec.MediaSource, interrupt <-chan struct{}) (codec.Media, error) {
	astiav.SetLogLevel(astiav.LogLevelQuiet) // as in Open
	m := &Media{timeout: src.Timeout, d: C.demux_new()}
	if m.timeout <= 0 {
		m.timeout = 10 * time.Second
	}
	var reader cgo.Handle
	seekable := C.int(0)
	if src.Reader != nil {
		reader = cgo.NewHandle(newSpring(src.Reader))
		if _, ok := src.Reader.(io.Seeker); ok {
			seekable = 1
		}
	}
	if src.Open != nil {
		m.opener = cgo.NewHandle(src.Open)
	}
	if m.d == nil {
		demuxDrop(C.uintptr_t(reader))
		return nil, errors.Join(errors.New("out of memory"), m.Close())
	}
	opened := make(chan struct{})
	defer close(opened)
	if interrupt != nil {
		go func() {
			select {
			case <-interrupt:
				m.Interrupt()
			case <-opened:
			}
		}()
	}
	url, options := mediaOptions(src)
	curl, cdict := C.CString(url), dictionary(options)
	defer C.free(unsafe.Pointer(curl))
	defer C.av_dict_free(&cdict)
	m.allow(2 * m.timeout)
	code := C.demux_open(m.d, curl, C.uintptr_t(reader), seekable, C.uintptr_t(m.opener), &cdict)
	if code < 0 {
		return nil, errors.Join(m.fail(code), m.Close())
	}
	m.describe(src)
	if m.info.Pictures == "" && m.info.Sound == "" {
		return nil, errors.Join(errors.New("neither pictures nor sound that can be decoded are in it"), m.Close())
	}
	return m, nil
}

// mediaOptions are libavformat's options for a source.
func mediaOptions(src codec.MediaSource) (url string, options map[string]string) {
	options = map[string]string{"probesize": "2000000", "analyzeduration": "3000000"}
	if src.Reader != nil {
		options["format_whitelist"] = mediaFormats
		options["protocol_whitelist"] = "none"
		// HLS over readers of our own: there is no connection of libavformat's to keep.
		options["http_persistent"], options["http_multiple"] = "0", "0"
		url = src.Name
		if i := strings.Index(url, "://"); i < 0 {
			url = "" // a file's name is no address
		}
		return url, options
	}
	options["format_whitelist"], options["protocol_whitelist"] = streamFormats, streamProtocols
	for k, v := range src.Options {
		options[k] = v
	}
	return src.URL, options
}

func dictionary(options map[string]string) *C.AVDictionary {
	var d *C.AVDictionary
	for k, v := range options {
		ck, cv := C.CString(k), C.CString(v)
		C.av_dict_set(&d, ck, cv, 0)
		C.free(unsafe.Pointer(ck))
		C.free(unsafe.Pointer(cv))
	}
	return d
}

func (m *Media) describe(src codec.MediaSource) {
	f := m.d.format
	name := C.GoString(f.iformat.name)
	m.info.Format, _, _ = strings.Cut(name, ",")
	m.info.Still = strings.HasSuffix(name, "_pipe")
	if f.duration > 0 && !m.info.Still {
		m.info.Duration = time.Duration(f.duration) * time.Microsecond
	}
	if m.d.video >= 0 {
		s := m.stream(m.d.video)
		m.info.Pictures = codecName(s)
		m.info.Width, m.info.Height = int(s.codecpar.width), int(s.codecpar.height)
		if C.demux_rotation(m.d)%2 == 1 {
			m.info.Width, m.info.Height = m.info.Height, m.info.Width
		}
		if r := s.avg_frame_rate; r.den > 0 {
			m.info.FrameRate = float64(r.num) / float64(r.den)
		}
	}
	if m.d.audio >= 0 {
		m.info.Sound = codecName(m.stream(m.d.audio))
	}
	_, seeks := src.Reader.(io.Seeker)
	m.info.Seekable = m.info.Duration > 0 && !src.Live && (seeks || m.info.Format == "hls")
}

func codecName(s *C.AVStream) string { return C.GoString(C.avcodec_get_name(s.codecpar.codec_id)) }

func (m *Media) stream(i C.int) *C.AVStream {
	return unsafe.Slice(m.d.format.streams, m.d.format.nb_streams)[i]
}

// allow sets how long what follows may block.
func (m *Media) allow(d time.Duration) {
	C.demux_allow(m.d, C.int64_t(d.Microseconds()))
}

// Info implements codec.Media.
func (m *Media) Info() codec.MediaInfo { return m.info }

// Read implements codec.Media.
func (m *Media) Read() (codec.MediaPacket, error) {
	p := C.av_packet_alloc()
	if p == nil {
		return nil, errors.New("read media: out of memory")
	}
	m.allow(m.timeout)
	if code := C.demux_read(m.d, p); code < 0 {
		C.av_packet_free(&p)
		if code == C.code_end {
			return nil, io.EOF
		}
		return nil, m.fail(code)
	}
	out := &packet{p: p, kind: codec.Audio, size: int(p.size), key: p.flags&C.AV_PKT_FLAG_KEY != 0}
	if p.stream_index == m.d.video {
		out.kind = codec.Video
	}
	ts := p.dts
	if ts == C.AV_NOPTS_VALUE {
		ts = p.pts
	}
	out.at = m.time(p.stream_index, ts)
	return out, nil
}

// unknown is the time of what carries none.
const unknown = time.Duration(-1 << 62)

func (m *Media) time(stream C.int, ts C.int64_t) time.Duration {
	if us := C.demux_time(m.d, stream, ts); us != C.AV_NOPTS_VALUE {
		return time.Duration(us) * time.Microsecond
	}
	return unknown
}

// Seek implements codec.Media.
func (m *Media) Seek(at time.Duration) error {
	m.allow(m.timeout)
	if code := C.demux_seek(m.d, C.int64_t(at.Microseconds())); code < 0 {
		return fmt.Errorf("seek to %v: %w", at, m.fail(code))
	}
	return nil
}

// fail is the error of a call of libavformat.
func (m *Media) fail(code C.int) error {
	if code == C.code_stopped {
		if C.demux_stopped(m.d) == 0 {
			return fmt.Errorf("%w: %v passed", ErrTimeout, m.timeout)
		}
		return errors.New("interrupted")
	}
	return astiav.Error(code)
}

// Interrupt implements codec.Media.
func (m *Media) Interrupt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.d != nil {
		C.demux_stop(m.d)
	}
}

// Close implements codec.Media.
func (m *Media) Close() error {
	m.mu.Lock()
	d := m.d
	m.d = nil
	m.mu.Unlock()
	if d != nil {
		C.demux_free(d)
	}
	if m.opener != 0 {
		m.opener.Delete()
		m.opener = 0
	}
	return nil
}

// packet is one AVPacket.
type packet struct {
	p    *C.AVPacket
	kind codec.Kind
	at   time.Duration
	size int
	key  bool
}

func (p *packet) Kind() codec.Kind    { return p.kind }
func (p *packet) Time() time.Duration { return p.at }
func (p *packet) Key() bool           { return p.key }
func (p *packet) Size() int           { return p.size }
func (p *packet) Free() {
	if p.p != nil {
		C.av_packet_free(&p.p)
	}
}

// raw is the AVPacket of a packet of this package; nil is the end.
func raw(p codec.MediaPacket) *C.AVPacket {
	if p, ok := p.(*packet); ok {
		return p.p
	}
	return nil
}
