package cast

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"mixdown/codec"
)

const (
	// segmentLength is the least length of a segment; it ends at the keyframe after.
	segmentLength = 1900 * time.Millisecond
	// listed segments are in the playlist; kept ones can still be fetched by who
	// has an older one (RFC 8216, section 6.2.2).
	listed, kept = 6, 10
	// maxSegment bounds one segment, bytes.
	maxSegment = 16 << 20
)

// hls keeps the last seconds of a programme as segments of fragmented MP4
// (RFC 8216, section 3.3), in memory.
type hls struct {
	mu       sync.Mutex
	inits    int // numbers of what stands before the first segment of a run
	head     map[int][]byte
	segments []segment
	next     int // number of the segment that is being made
	gaps     int // discontinuities that are no longer listed
}

type segment struct {
	number int
	init   int
	length time.Duration
	at     time.Time
	data   []byte
	fresh  bool // the first of a run
}

// begin starts a run of segments.
func (h *hls) begin(mux codec.NewMuxer, tracks []codec.Track) *cutter {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inits++
	return &cutter{hls: h, init: h.inits, open: mux, tracks: tracks, from: -1}
}

// cutter is a codec.Muxer that cuts what it writes into segments at keyframes.
type cutter struct {
	hls    *hls
	init   int
	open   codec.NewMuxer
	tracks []codec.Track
	mux    codec.Muxer
	buf    []byte
	from   time.Duration
	at     time.Time
	begun  bool
}

// Write implements io.Writer for the muxer below.
func (c *cutter) write(p []byte) (int, error) {
	if len(c.buf)+len(p) > maxSegment {
		return 0, fmt.Errorf("a segment is over %d bytes", maxSegment)
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Write implements codec.Muxer.
func (c *cutter) Write(track int, u codec.Unit, pts, duration time.Duration) error {
	if c.mux == nil {
		m, err := c.open(writerFunc(c.write), codec.MuxConfig{
			Format: "mp4", Tracks: c.tracks, Options: map[string]string{"movflags": "frag_custom+empty_moov+default_base_moof+delay_moov"},
		})
		if err != nil {
			return err
		}
		c.mux = m
	}
	if track == 0 && u.Keyframe {
		switch {
		case c.from < 0:
			c.from, c.at = pts, time.Now()
		case pts-c.from >= segmentLength:
			if err := c.mux.Flush(); err != nil {
				return err
			}
			if err := c.cut(pts); err != nil {
				return err
			}
		}
	}
	return c.mux.Write(track, u, pts, duration)
}

// cut ends the segment that is being made.
func (c *cutter) cut(now time.Duration) error {
	data := c.buf
	c.buf = nil
	var head []byte
	if !c.begun {
		n, err := splitInit(data)
		if err != nil {
			return err
		}
		head, data = data[:n:n], data[n:]
	}
	c.hls.add(c.init, head, segment{init: c.init, length: now - c.from, at: c.at, data: data, fresh: !c.begun})
	c.begun, c.from, c.at = true, now, time.Now()
	return nil
}

// splitInit returns where the boxes before the first fragment end (ISO/IEC
// 14496-12, section 4.2).
func splitInit(data []byte) (int, error) {
	for at := 0; at+8 <= len(data); {
		size := int(binary.BigEndian.Uint32(data[at:]))
		if size < 8 || size > len(data)-at {
			break
		}
		at += size
		if string(data[at-size+4:at-size+8]) == "moov" {
			return at, nil
		}
	}
	return 0, fmt.Errorf("no movie box in the first segment")
}

// Flush implements codec.Muxer.
func (c *cutter) Flush() error { return nil }

// Close implements codec.Muxer.
func (c *cutter) Close() error {
	if c.mux == nil {
		return nil
	}
	return c.mux.Close()
}

func (h *hls) add(init int, head []byte, s segment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.head == nil {
		h.head = map[int][]byte{}
	}
	if head != nil {
		h.head[init] = head
	}
	s.number = h.next
	h.next++
	h.segments = append(h.segments, s)
	for len(h.segments) > kept {
		if h.segments[1].fresh {
			h.gaps++
			delete(h.head, h.segments[0].init)
		}
		h.segments[0] = segment{}
		h.segments = h.segments[1:]
	}
}

// playlist is the media playlist, empty if there is nothing to play yet.
func (h *hls) playlist() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.segments[max(0, len(h.segments)-listed):]
	if len(list) == 0 {
		return ""
	}
	longest, gaps := 2*time.Second, h.gaps
	for i, s := range h.segments {
		longest = max(longest, s.length)
		if i > 0 && i <= len(h.segments)-len(list) && s.fresh {
			gaps++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n",
		int((longest+time.Second/2)/time.Second), list[0].number, gaps)
	for i, s := range list {
		if i > 0 && s.fresh {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		if i == 0 || s.fresh {
			fmt.Fprintf(&b, "#EXT-X-MAP:URI=\"init%d.mp4\"\n", s.init)
		}
		fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n#EXTINF:%.3f,\n%d.m4s\n", s.at.UTC().Format("2006-01-02T15:04:05.000Z"), s.length.Seconds(), s.number)
	}
	return b.String()
}

// file is a segment or what stands before it, by its name in the playlist; nil if
// it is not there, or not any more.
func (h *hls) file(name string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	var n int
	switch {
	case scan(name, "init%d.mp4", &n):
		return h.head[n]
	case scan(name, "%d.m4s", &n) && len(h.segments) > 0:
		if i := n - h.segments[0].number; i >= 0 && i < len(h.segments) {
			return h.segments[i].data
		}
	}
	return nil
}

func scan(name, format string, n *int) bool {
	_, err := fmt.Sscanf(name, format, n)
	return err == nil && fmt.Sprintf(format, *n) == name
}
