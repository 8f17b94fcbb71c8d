package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mixdown/api"
	"mixdown/codec/codectest"
	"mixdown/mixer"
)

// needs skips a test where a tool is missing.
func needs(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
}

// background runs a tool until the test ends.
func background(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// ffmpeg and GStreamer are in a room as plain RTP legs: a test picture with a tone
// from ffmpeg, encrypted, one from GStreamer, and a telephone's tone. Each is seen
// and heard, and hears the others and not itself.
func TestLegs(t *testing.T) {
	needs(t, "ffmpeg", "gst-launch-1.0")
	const key, secret = "key", "secretsecretsecretsecretsecretsecret"
	r := start(t, map[string]any{
		"data_dir": t.TempDir(), "api.key": key, "api.secret": secret, "rtp.first_port": 36000, "rtp.last_port": 36099, "rtp.address": "127.0.0.1",
		"sound.level": false,
	})
	base := regexp.MustCompile(`(http://[^/]+)/r/demo`).FindStringSubmatch(r.out)[1]
	base = strings.Replace(base, "localhost", "127.0.0.1", 1)
	token, err := api.Keys{ID: key, Secret: secret}.Mint(mixer.Identity{ID: "op", Role: mixer.Host}, api.AnyRoom, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	legs := base + "/api/v1/rooms/demo/legs"
	create := func(body string) (l mixer.Leg, port func(media string) string, keyOf func(int) string) {
		t.Helper()
		res, text := r.do("POST", legs, token, body)
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		return l, func(media string) string {
				return regexp.MustCompile(`m=` + media + ` (\d+)`).FindStringSubmatch(l.SDP)[1]
			}, func(i int) string {
				return regexp.MustCompile(`inline:(\S+)`).FindAllStringSubmatch(l.SDP, -1)[i][1]
			}
	}
	const suite = "AES_CM_128_HMAC_SHA1_80"
	const master = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5" // of 30 bytes

	// ffmpeg sends VP8 and Opus over SRTP, red, 600 Hz.
	_, port, _ := create(`{"identity":"f","name":"f","receive":false,"srtp":"` + suite + `","media":[
		{"kind":"audio","address":"127.0.0.1:9","codec":"opus","payload_type":97,"key":"` + master + `"},
		{"kind":"video","address":"127.0.0.1:9","codec":"VP8","payload_type":96,"key":"` + master + `"}]}`)
	background(t, "ffmpeg", "-loglevel", "fatal", "-re", "-f", "lavfi", "-i", "color=red:size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=600",
		"-map", "0:v", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "50", "-b:v", "200k", "-f", "rtp", "-payload_type", "96",
		"-srtp_out_suite", suite, "-srtp_out_params", master, "srtp://127.0.0.1:"+port("video"),
		"-map", "1:a", "-c:a", "libopus", "-f", "rtp", "-payload_type", "97",
		"-srtp_out_suite", suite, "-srtp_out_params", master, "srtp://127.0.0.1:"+port("audio"))
	// GStreamer sends VP8 and G.711 in the clear, blue, 1000 Hz.
	_, port, _ = create(`{"identity":"g","name":"g","receive":false,"media":[
		{"kind":"audio","address":"127.0.0.1:9","codec":"PCMA","payload_type":8},
		{"kind":"video","address":"127.0.0.1:9","codec":"VP8","payload_type":96}]}`)
	background(t, "gst-launch-1.0", "-q",
		"videotestsrc", "is-live=true", "pattern=blue", "!", "video/x-raw,width=320,height=180,framerate=25/1", "!", "vp8enc", "deadline=1", "keyframe-max-dist=50", "!", "rtpvp8pay", "pt=96", "!",
		"udpsink", "host=127.0.0.1", "port="+port("video"),
		"audiotestsrc", "is-live=true", "freq=1000", "volume=0.3", "!", "audio/x-raw,rate=8000,channels=1", "!", "alawenc", "!", "rtppcmapay", "!",
		"udpsink", "host=127.0.0.1", "port="+port("audio"))

	// Both receive: ffmpeg H.264 and Opus over SRTP, GStreamer VP8 and G.722.
	dir := t.TempDir()
	const at = 36200
	_, _, keyOf := create(fmt.Sprintf(`{"identity":"f","name":"f","publish":false,"srtp":"%s","media":[
		{"kind":"audio","address":"127.0.0.1:%d","codec":"opus","payload_type":97,"key":"%s"},
		{"kind":"video","address":"127.0.0.1:%d","codec":"H264","payload_type":96,"key":"%s"}]}`, suite, at, master, at+2, master))
	sdp := filepath.Join(dir, "mix.sdp")
	text := fmt.Sprintf("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=mix\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio %d RTP/SAVP 97\na=rtpmap:97 opus/48000/2\na=crypto:1 %s inline:%s\nm=video %d RTP/SAVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\na=crypto:1 %s inline:%s\n",
		at, suite, keyOf(0), at+2, suite, keyOf(1))
	if err := os.WriteFile(sdp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	create(fmt.Sprintf(`{"identity":"g","name":"g","publish":false,"media":[
		{"kind":"audio","address":"127.0.0.1:%d","codec":"G722","payload_type":9}]}`, at+4))
	// The gallery has both colours.
	red, blue := 0.0, 0.0
	for end := time.Now().Add(40 * time.Second); (red < .2 || blue < .2) && time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		img := gallery(t, r, base, "demo", token)
		red, blue = ofColour(img, 0), ofColour(img, 2)
	}
	if red < .2 || blue < .2 {
		t.Errorf("red is %.0f %% of the gallery, blue %.0f %%", 100*red, 100*blue)
	}
	mix := filepath.Join(dir, "mix.mkv")
	ffmpeg := exec.Command("ffmpeg", "-loglevel", "fatal", "-protocol_whitelist", "file,udp,rtp,srtp", "-i", sdp, "-t", "6", "-c", "copy", "-y", mix)
	if err := ffmpeg.Start(); err != nil {
		t.Fatal(err)
	}
	got := waited(t, ffmpeg)
	wav := filepath.Join(dir, "g.raw")
	background(t, "gst-launch-1.0", "-q", "udpsrc", fmt.Sprint("port=", at+4), "caps=application/x-rtp,media=audio,clock-rate=8000,encoding-name=G722,payload=9", "!",
		"rtpjitterbuffer", "!", "rtpg722depay", "!", "avdec_g722", "!", "audioconvert", "!", "audioresample", "!", "audio/x-raw,format=S16LE,rate=48000,channels=1", "!", "filesink", "location="+wav)
	if err := <-got; err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}

	// What ffmpeg received: full rate, the colours, the other's tone.
	count := output(t, "ffprobe", "-loglevel", "error", "-select_streams", "v", "-count_packets", "-show_entries", "stream=nb_read_packets,width", "-of", "csv=p=0", mix)
	var width, pictures int
	if _, err := fmt.Sscanf(strings.ReplaceAll(string(count), ",", " "), "%d %d", &width, &pictures); err != nil || width != 1280 || pictures < 20 { // 25 a second, or fewer while the machine has no time
		t.Errorf("%d pictures of width %d in 6 s, %v", pictures, width, err)
	}
	t.Logf("%d pictures in 6 s", pictures)
	pcm := samples(output(t, "ffmpeg", "-loglevel", "fatal", "-i", mix, "-map", "0:a", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"))
	hears(t, "ffmpeg", pcm, 1000, 600)
	raw, err := os.ReadFile(wav)
	if err != nil {
		t.Fatal(err)
	}
	hears(t, "GStreamer", samples(raw), 600, 1000)

	var all []mixer.Leg
	_, list := r.do("GET", legs, token, "")
	if err := json.Unmarshal([]byte(list), &all); err != nil || len(all) != 4 {
		t.Fatalf("%d legs, %v: %s", len(all), err, list)
	}
	for _, l := range all {
		t.Logf("%s %s: sound %+v, pictures %+v", l.Participant, l.State, l.Audio, l.Video)
		for _, s := range []*mixer.LegStream{l.Audio, l.Video} {
			if s != nil && (s.Bad > 0 || s.Sent+s.Received == 0) {
				t.Errorf("%s: %+v", l.Participant, s)
			}
		}
		if res, text := r.do("DELETE", legs+"/"+l.ID, token, ""); res.StatusCode != http.StatusNoContent {
			t.Errorf("delete: %d %s", res.StatusCode, text)
		}
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

// TestLegH264 has GStreamer in a room with H.264, sent to a leg of addresses and
// received by a leg of an SDP offer: it is seen, and sees itself.
func TestLegH264(t *testing.T) {
	needs(t, "gst-launch-1.0")
	const key, secret = "key", "secretsecretsecretsecretsecretsecret"
	r := start(t, map[string]any{
		"data_dir": t.TempDir(), "rooms.open": true, "api.key": key, "api.secret": secret, "rtp.first_port": 36500, "rtp.last_port": 36599, "rtp.address": "127.0.0.1",
	})
	base := strings.Replace(regexp.MustCompile(`(http://[^/]+)/r/demo`).FindStringSubmatch(r.out)[1], "localhost", "127.0.0.1", 1)
	token, err := api.Keys{ID: key, Secret: secret}.Mint(mixer.Identity{ID: "op", Role: mixer.Host}, api.AnyRoom, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leg := func(request map[string]any) (l mixer.Leg) {
		t.Helper()
		body, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		res, text := r.do("POST", base+"/api/v1/rooms/demo/legs", token, string(body))
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	sends := leg(map[string]any{"identity": "g", "receive": false, "media": []map[string]any{{"kind": "video", "address": "127.0.0.1:9", "codec": "H264", "payload_type": 96}}})
	port := regexp.MustCompile(`m=video (\d+)`).FindStringSubmatch(sends.SDP)[1]
	background(t, "gst-launch-1.0", "-q",
		"videotestsrc", "is-live=true", "pattern=blue", "!", "video/x-raw,width=640,height=360,framerate=25/1", "!", "openh264enc", "gop-size=50", "!", "rtph264pay", "pt=96", "config-interval=-1", "!",
		"udpsink", "host=127.0.0.1", "port="+port)
	const at = 36700
	gets := leg(map[string]any{"identity": "g", "publish": false, "sdp": fmt.Sprintf("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"+
		"m=video %d RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\na=recvonly\r\n", at)})
	if !strings.Contains(gets.SDP, "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n") || !strings.Contains(gets.SDP, "a=sendonly") {
		t.Errorf("answer: %s", gets.SDP)
	}
	const width, height = 64, 36
	film := filepath.Join(t.TempDir(), "film.rgb")
	background(t, "gst-launch-1.0", "-q", "udpsrc", fmt.Sprint("port=", at), "buffer-size=1000000", "caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=96", "!",
		"rtpjitterbuffer", "!", "rtph264depay", "!", "avdec_h264", "!", "videoconvert", "!", "videoscale", "!", fmt.Sprintf("video/x-raw,format=RGB,width=%d,height=%d", width, height), "!",
		"filesink", "buffer-mode=unbuffered", "location="+film)
	eventually(t, "its blue tile", func() bool { return ofColour(gallery(t, r, base, "demo", token), 2) > .5 })
	// The last picture is blue, in 50 that came one after the other.
	pictures := func() ([]byte, int) {
		raw, _ := os.ReadFile(film)
		n := len(raw) / (width * height * 3)
		return raw[max(0, n-1)*width*height*3:], n
	}
	blue := func() bool {
		last, n := pictures()
		middle := (height/2*width + width/2) * 3
		return n > 0 && last[middle] < 80 && last[middle+1] < 80 && last[middle+2] > 180
	}
	eventually(t, "it sees blue", blue)
	_, before := pictures()
	began := time.Now()
	eventually(t, "50 more", func() bool { _, n := pictures(); return n >= before+50 && blue() })
	_, after := pictures()
	fps := float64(after-before) / time.Since(began).Seconds()
	t.Logf("%.1f pictures a second", fps)
	if os.Getenv("MIXDOWN_QUIET") != "" && fps < 24 {
		t.Errorf("%.1f pictures a second", fps)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

// waited waits for a tool in the background, for a while.
func waited(t *testing.T, cmd *exec.Cmd) <-chan error {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	kill := time.AfterFunc(40*time.Second, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { kill.Stop() })
	return done
}

// gallery is the room's picture.
func gallery(t *testing.T, r *running, base, room, token string) image.Image {
	t.Helper()
	req, err := http.NewRequest("GET", base+"/api/v1/rooms/"+room+"/snapshot.png", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	img, err := png.Decode(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// ofColour is how much of a picture is of a primary colour.
func ofColour(img image.Image, primary int) float64 {
	n, of := 0, 0
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y += 4 {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x += 4 {
			r, g, b, _ := img.At(x, y).RGBA()
			c := [3]uint32{r >> 8, g >> 8, b >> 8}
			of++
			if c[primary] > 180 && c[(primary+1)%3] < 80 && c[(primary+2)%3] < 80 {
				n++
			}
		}
	}
	return float64(n) / float64(of)
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

func samples(b []byte) []int16 {
	out := make([]int16, len(b)/2)
	for i := range out {
		out[i] = int16(uint16(b[2*i]) | uint16(b[2*i+1])<<8)
	}
	return out
}

// hears wants one tone in the last seconds of sound and another one absent.
func hears(t *testing.T, who string, pcm []int16, other, own float64) {
	t.Helper()
	if len(pcm) < 3*48000 {
		t.Errorf("%s received %d samples", who, len(pcm))
		return
	}
	pcm = pcm[len(pcm)-2*48000:]
	o, s := codectest.ToneLevel(pcm, 48000, other), codectest.ToneLevel(pcm, 48000, own)
	t.Logf("%s hears the other at %.1f dBFS, itself at %.1f", who, o, s)
	if o < -35 || s > math.Min(-60, o-30) {
		t.Errorf("%s hears the other at %.1f dBFS, itself at %.1f", who, o, s)
	}
}
