package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// TestCallsASecond has sipp make 20 calls a second to the program itself, into a
// room: none is lost. MIXDOWN_SIPP says for how long; from 90 s on its memory in the
// end is held against that after 45 s, when as much is forgotten as comes: what
// is remembered of a call is for 32 s (RFC 3261, timers J and H).
func TestCallsASecond(t *testing.T) {
	needs(t, "sipp")
	length := 5 * time.Second
	if s := os.Getenv("MIXDOWN_SIPP"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal("MIXDOWN_SIPP: ", err)
		}
	}
	binary := os.Getenv("MIXDOWN_BIN") // of make test
	if binary == "" {
		binary = filepath.Join(t.TempDir(), "mixdown")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	scenario, err := filepath.Abs("testdata/sipp.xml")
	if err != nil {
		t.Fatal(err)
	}
	dir, web, at := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	config := filepath.Join(dir, "mixdown.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "http: {addr: %q}\nrooms: {open: true, demo: \"\"}\nsip: {addr: %q, records: {file: %q}}\n", web, at, filepath.Join(dir, "calls.jsonl")), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &safeBuffer{}
	server := exec.Command(binary, "serve", "--config", config, "--data-dir", dir, "--rtc-port", "0", "--rtc-address", "127.0.0.1")
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = server.Process.Kill() })
		defer kill.Stop()
		if err := server.Wait(); err != nil || t.Failed() {
			t.Errorf("the server: %v\n%s", err, tail(log.String(), 3000))
		}
	})
	metrics := func() string {
		res, err := http.Get("http://" + web + "/metrics")
		if err != nil {
			return ""
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return string(text)
	}
	figure := func(text, name string) float64 {
		found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
		if found == nil {
			return math.NaN()
		}
		v, _ := strconv.ParseFloat(found[1], 64)
		return v
	}
	eventually(t, "the server is up", func() bool { return metrics() != "" })
	defer http.DefaultClient.CloseIdleConnections()

	const rate = 20
	calls := int(length.Seconds()) * rate
	ctx, cancel := context.WithTimeout(t.Context(), length+60*time.Second)
	defer cancel()
	began := time.Now()
	sipp := exec.CommandContext(ctx, "sipp", at, "-sf", scenario, "-s", "tea", "-i", "127.0.0.1", "-r", strconv.Itoa(rate), "-m", strconv.Itoa(calls),
		"-nostdin", "-trace_stat", "-stf", filepath.Join(dir, "stat.csv"), "-recv_timeout", "10000")
	sipp.Dir, sipp.Env = dir, append(os.Environ(), "TERM=dumb")
	var said bytes.Buffer
	sipp.Stdout, sipp.Stderr = &said, &said
	if err := sipp.Start(); err != nil {
		t.Fatal(err)
	}
	// The least that the heap has in so many seconds is what is left after a collection.
	look := func(from, to time.Duration) (heap, resident, goroutines float64) {
		heap = math.Inf(1)
		for time.Since(began) < to {
			if time.Since(began) >= from {
				m := metrics()
				heap, resident, goroutines = min(heap, figure(m, "go_memstats_heap_alloc_bytes")), figure(m, "process_resident_memory_bytes"), figure(m, "go_goroutines")
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("%v to %v: heap %.1f MB after collections, %.1f MB resident, %v goroutines", from, to, heap/1e6, resident/1e6, goroutines)
		return heap, resident, goroutines
	}
	if length >= 90*time.Second {
		look(8*time.Second, 13*time.Second)
		heap, _, goroutines := look(45*time.Second, 55*time.Second)
		later, _, now := look(length-10*time.Second, length)
		if later > 1.1*heap+1e6 {
			t.Errorf("the heap grew from %.1f to %.1f MB", heap/1e6, later/1e6)
		}
		if now > 1.2*goroutines+20 {
			t.Errorf("%v goroutines, %v before", now, goroutines)
		}
	}
	if err := sipp.Wait(); err != nil {
		t.Errorf("sipp: %v\n%s", err, tail(said.String(), 3000))
	}
	raw, err := os.ReadFile(filepath.Join(dir, "stat.csv"))
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(raw))
	r.Comma, r.FieldsPerRecord = ';', -1
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatal("sipp's figures: ", err)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		if last := rows[len(rows)-1]; i < len(last) {
			got[name] = strings.TrimSpace(last[i])
		}
	}
	t.Logf("%s calls, %s failed, %s messages sent again", got["SuccessfulCall(C)"], got["FailedCall(C)"], got["Retransmissions(C)"])
	if got["SuccessfulCall(C)"] != strconv.Itoa(calls) || got["FailedCall(C)"] != "0" {
		t.Errorf("%s calls of %d, %s failed", got["SuccessfulCall(C)"], calls, got["FailedCall(C)"])
	}
	if n := figure(metrics(), "mixdown_sip_answered_total"); n != float64(calls) {
		t.Errorf("%v calls stood of %d", n, calls)
	}
}

// TestTelephonesPicture writes down what goes to a telephone, and decodes it:
// every picture comes, and is whole. MIXDOWN_QUIET says that the machine has time
// for the full rate.
func TestTelephonesPicture(t *testing.T) {
	needs(t, "tcpdump", "ffmpeg", "ffprobe")
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	x := newExchange(t, map[string]any{"sip.addr": at, "rtp.first_port": 36300, "rtp.last_port": 36399})
	dir := t.TempDir()
	capture := filepath.Join(dir, "call.pcap")
	dump := exec.Command("tcpdump", "-i", "lo", "-U", "-w", capture, "-s", "0", "-B", "16384", "udp and src portrange 36300-36399")
	said := &safeBuffer{}
	dump.Stderr = said
	if err := dump.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dump.Process.Kill() })
	eventually(t, "tcpdump listens, or may not", func() bool {
		return strings.Contains(said.String(), "listening on") || strings.Contains(said.String(), "ermi")
	})
	if strings.Contains(said.String(), "ermi") {
		_ = dump.Wait()
		t.Skip("tcpdump may not: ", said.String())
	}
	anna := startBare(t, 440, 8000, ";audio_codecs=PCMU/8000/1;video_codecs=VP8", true)
	anna.tell("dial", "sip:tea@"+at)
	eventually(t, "pictures", func() bool { return anna.frames() >= 5 })
	time.Sleep(6 * time.Second)
	anna.tell("hangup", "")
	x.written(1)
	_ = dump.Process.Signal(syscall.SIGINT)
	if err := dump.Wait(); err != nil {
		t.Fatal("tcpdump: ", err)
	}
	port := regexp.MustCompile(`rtp for 'video' established, receiving from 127.0.0.1:(\d+)`).FindStringSubmatch(anna.said())
	if port == nil {
		t.Fatal("no video was agreed on")
	}
	ivf := filepath.Join(dir, "call.ivf")
	pictures, lost, length := pictureFile(t, capture, port[1], ivf)
	decode := exec.Command("ffmpeg", "-v", "warning", "-i", ivf, "-f", "null", "-")
	if out, err := decode.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("decoding: %v\n%s", err, out)
	}
	shown := strings.TrimSpace(string(output(t, "ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=width,nb_read_frames", "-of", "csv=p=0", ivf)))
	fps := float64(pictures-1) / max(length.Seconds(), .001)
	t.Logf("%d pictures in %.1f s, %.1f a second, %d packets missing; decoded: %s; baresip's log: %.1f in the best", pictures, length.Seconds(), fps, lost, shown, anna.frames())
	if shown != fmt.Sprintf("1280,%d", pictures) || pictures < 20 || lost > 0 {
		t.Errorf("%d pictures, decoded %s, %d packets missing", pictures, shown, lost)
	}
	if os.Getenv("MIXDOWN_QUIET") != "" && (fps < 24.5 || anna.frames() < 24) {
		t.Errorf("%.1f pictures a second in the capture, %.1f by baresip", fps, anna.frames())
	}
	anna.stop()
	x.end()
}

// pictureFile makes a file of VP8 (IVF) of what came from a port in a capture on
// loopback, and tells how long it is by its RTP times.
func pictureFile(t *testing.T, capture, port, ivf string) (pictures, lost int, length time.Duration) {
	t.Helper()
	raw, err := os.ReadFile(capture)
	if err != nil || len(raw) < 24 {
		t.Fatalf("capture: %d bytes, %v", len(raw), err)
	}
	var out, picture []byte
	var first, last uint32
	next := -1
	for raw = raw[24:]; len(raw) >= 16; { // pcap-savefile(5): a header for each packet
		n := int(binary.LittleEndian.Uint32(raw[8:]))
		if len(raw) < 16+n {
			break
		}
		frame := raw[16 : 16+n]
		raw = raw[16+n:]
		if len(frame) < 42 || strconv.Itoa(int(binary.BigEndian.Uint16(frame[34:]))) != port { // Ethernet, IPv4, UDP
			continue
		}
		var p rtp.Packet
		var vp8 codecs.VP8Packet
		if err := p.Unmarshal(frame[42:]); err != nil {
			t.Fatal(err)
		}
		if next >= 0 {
			lost += int(p.SequenceNumber - uint16(next))
		}
		next = int(p.SequenceNumber + 1)
		payload, err := vp8.Unmarshal(p.Payload)
		if err != nil {
			t.Fatal(err)
		}
		picture = append(picture, payload...)
		if !p.Marker {
			continue
		}
		if pictures == 0 {
			first = p.Timestamp
		}
		last = p.Timestamp
		out = binary.LittleEndian.AppendUint32(out, uint32(len(picture)))
		out = binary.LittleEndian.AppendUint64(out, uint64(last-first))
		out = append(out, picture...)
		picture = picture[:0]
		pictures++
	}
	head := append([]byte("DKIF\x00\x00\x20\x00VP80"), 0, 5, 0xd0, 2) // 1280x720
	head = binary.LittleEndian.AppendUint32(head, 90000)
	head = binary.LittleEndian.AppendUint32(head, 1)
	head = binary.LittleEndian.AppendUint32(head, uint32(pictures))
	head = append(head, 0, 0, 0, 0)
	if err := os.WriteFile(ivf, append(head, out...), 0o600); err != nil {
		t.Fatal(err)
	}
	return pictures, lost, time.Duration(last-first) * time.Second / 90000
}
