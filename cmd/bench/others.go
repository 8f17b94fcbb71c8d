package main

import (
	"fmt"
	"strconv"
	"strings"
)

// inputs are FFmpeg's, each paced and decoded on one thread, with the part of
// the graph that scales them to their tiles and puts these in place.
func (j *job) inputs(files []string) (args []string, graph string) {
	args = []string{"ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-filter_complex_threads", "1"}
	var scaled, places, tiles strings.Builder
	for i, r := range j.places {
		args = append(args, "-re", "-threads", "1", "-c:a", "libopus", "-i", files[i])
		fmt.Fprintf(&scaled, "[%d:v]scale=%d:%d:flags=bilinear[v%d];", i, r.W, r.H, i)
		fmt.Fprintf(&tiles, "[v%d]", i)
		if i > 0 {
			places.WriteByte('|')
		}
		fmt.Fprintf(&places, "%d_%d", r.X, r.Y)
	}
	return args, fmt.Sprintf("%s%sxstack=inputs=%d:layout=%s:fill=black,pad=%d:%d[video];",
		scaled.String(), tiles.String(), j.n, places.String(), j.tier.Width, j.tier.Height)
}

func (j *job) ffmpegVideo() []string {
	rate := strconv.Itoa(j.tier.Bitrate)
	return []string{"-map", "[video]", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "-12", "-threads", "1", "-lag-in-frames", "0", "-auto-alt-ref", "0",
		"-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-qmin", "4", "-qmax", "63", "-static-thresh", "1", "-g", "100000"}
}

func (j *job) ffmpegAudio(label string) []string {
	return []string{"-map", label, "-c:a", "libopus", "-ac", "1", "-application", "voip", "-b:a", strconv.Itoa(j.sound.Tones[0].Bitrate),
		"-compression_level", strconv.Itoa(j.sound.Complexity), "-fec:a", "1", "-packet_loss:a", "5", "-frame_duration", "20"}
}

// ffmpeg is the least that can be called the job: xstack, amix, one encode of
// each with the server's settings, sent once as plain RTP.
func (j *job) ffmpeg(files []string, videoPort, audioPort string) []string {
	args, graph := j.inputs(files)
	for i := range j.n {
		graph += fmt.Sprintf("[%d:a]", i)
	}
	graph += fmt.Sprintf("amix=inputs=%d:normalize=0[audio]", j.n)
	args = append(append(args, "-filter_complex", graph), j.ffmpegVideo()...)
	args = append(append(args, "-f", "rtp", "rtp://127.0.0.1:"+videoPort+"?pkt_size=1200"), j.ffmpegAudio("[audio]")...)
	return append(args, "-f", "rtp", "rtp://127.0.0.1:"+audioPort)
}

// ffmpegAll is the job as far as FFmpeg can do it: a sound for all, and one more
// without themselves for each of those who speak, as if it knew who they are; the
// one picture and the sounds sent to each of the n by SRTP. The first one's
// pictures go to videoPort, all other packets to restPort.
func (j *job) ffmpegAll(files []string, videoPort, restPort string) []string {
	args, graph := j.inputs(files)
	speak := min(jobTalkers, j.n)
	for i := range speak {
		graph += fmt.Sprintf("[%d:a]asplit=%d", i, speak) // to the common mix and to those of the others
		for k := range speak {
			graph += fmt.Sprintf("[s%d_%d]", i, k)
		}
		graph += ";"
	}
	rest := ""
	if j.n > speak {
		for i := speak; i < j.n; i++ {
			graph += fmt.Sprintf("[%d:a]", i)
		}
		graph += fmt.Sprintf("amix=inputs=%d:normalize=0,asplit=%d", j.n-speak, speak+1)
		for k := range speak + 1 {
			graph += fmt.Sprintf("[r%d]", k)
		}
		graph += ";"
		rest = "[r%d]"
	}
	for k := range speak + 1 { // mix k is without speaker k; the last is the common one
		n := 0
		if rest != "" {
			graph += fmt.Sprintf(rest, k)
			n++
		}
		for i := range speak {
			if i != k {
				graph += fmt.Sprintf("[s%d_%d]", i, k-btoi(k > i))
				n++
			}
		}
		graph += fmt.Sprintf("amix=inputs=%d:normalize=0[a%d]", n, k)
		if k < speak {
			graph += ";"
		}
	}
	const secure = "srtp_out_suite=AES_CM_128_HMAC_SHA1_80:srtp_out_params=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw"
	to := func(port string, times int) string {
		one := "[f=rtp:" + secure + "]srtp://127.0.0.1:" + port + "?pkt_size=1200"
		return strings.TrimSuffix(strings.Repeat(one+"|", times), "|")
	}
	pictures := to(videoPort, 1)
	if j.n > 1 {
		pictures += "|" + to(restPort, j.n-1)
	}
	args = append(append(args, "-filter_complex", graph), j.ffmpegVideo()...)
	args = append(args, "-f", "tee", pictures)
	for k := range speak + 1 {
		times := 1
		if k == speak {
			times = max(1, j.n-speak)
		}
		args = append(append(args, j.ffmpegAudio(fmt.Sprintf("[a%d]", k))...), "-f", "tee", to(restPort, times))
	}
	return args
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// gstreamer is the job as a GStreamer pipeline does it: compositor, which scales
// what it places, and audiomixer, paced by the clock at their ends. It, too,
// makes one sound for all.
func (j *job) gstreamer(files []string, videoPort, audioPort string) []string {
	words := func(s string, args ...any) []string { return strings.Fields(fmt.Sprintf(s, args...)) }
	args := []string{"gst-launch-1.0", "-q", "compositor", "name=c", "background=black"}
	for i, r := range j.places {
		args = append(args, words("sink_%[1]d::xpos=%d sink_%[1]d::ypos=%d sink_%[1]d::width=%d sink_%[1]d::height=%d", i, r.X, r.Y, r.W, r.H)...)
	}
	args = append(args, words("! video/x-raw,format=I420,width=%d,height=%d,framerate=%d/1 ! queue", j.tier.Width, j.tier.Height, int(j.tier.FPS))...)
	args = append(args, words("! vp8enc deadline=1 cpu-used=-12 threads=1 lag-in-frames=0 end-usage=cbr target-bitrate=%d min-quantizer=4 max-quantizer=63"+
		" static-threshold=1 keyframe-max-dist=100000 buffer-size=1000 buffer-initial-size=500 buffer-optimal-size=600"+
		" ! rtpvp8pay mtu=1200 ! udpsink host=127.0.0.1 port=%s", j.tier.Bitrate, videoPort)...)
	args = append(args, words("audiomixer name=a ! audio/x-raw,rate=48000,channels=1 ! queue ! audioconvert ! opusenc bitrate=%d complexity=%d audio-type=voice"+
		" inband-fec=true packet-loss-percentage=5 frame-size=20 ! rtpopuspay ! udpsink host=127.0.0.1 port=%s", j.sound.Tones[0].Bitrate, j.sound.Complexity, audioPort)...)
	for i, file := range files[:j.n] {
		args = append(args, words("filesrc location=%s ! matroskademux name=d%d", file, i)...)
		args = append(args, words("d%[1]d. ! queue ! vp8dec threads=1 ! c.sink_%[1]d", i)...)
		args = append(args, words("d%[1]d. ! queue ! opusdec ! audioconvert ! audio/x-raw,rate=48000,channels=1 ! a.sink_%[1]d", i)...)
	}
	return args
}
