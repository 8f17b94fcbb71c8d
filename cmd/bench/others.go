package main

import (
	"fmt"
	"strconv"
	"strings"
)

// ffmpeg is the job as FFmpeg does it: every input paced, decoded on one thread,
// scaled to its tile; xstack, amix, one encode of each with the server's
// settings, sent as RTP. It makes one sound for all, where the server makes one
// more for each who speaks.
func (j *job) ffmpeg(files []string, videoPort, audioPort string) []string {
	args := []string{"ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-filter_complex_threads", "1"}
	var graph, places, tiles, sounds strings.Builder
	for i, r := range j.places {
		args = append(args, "-re", "-threads", "1", "-c:a", "libopus", "-i", files[i])
		fmt.Fprintf(&graph, "[%d:v]scale=%d:%d:flags=bilinear[v%d];", i, r.W, r.H, i)
		fmt.Fprintf(&tiles, "[v%d]", i)
		fmt.Fprintf(&sounds, "[%d:a]", i)
		if i > 0 {
			places.WriteByte('|')
		}
		fmt.Fprintf(&places, "%d_%d", r.X, r.Y)
	}
	fmt.Fprintf(&graph, "%sxstack=inputs=%d:layout=%s:fill=black,pad=%d:%d[video];", tiles.String(), j.n, places.String(), j.tier.Width, j.tier.Height)
	fmt.Fprintf(&graph, "%samix=inputs=%d:normalize=0[audio]", sounds.String(), j.n)
	rate, sound := strconv.Itoa(j.tier.Bitrate), strconv.Itoa(j.sound.Tones[0].Bitrate)
	return append(args, "-filter_complex", graph.String(),
		"-map", "[video]", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "-8", "-threads", "1", "-lag-in-frames", "0", "-auto-alt-ref", "0",
		"-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-qmin", "4", "-qmax", "63", "-static-thresh", "1", "-g", "100000",
		"-f", "rtp", "rtp://127.0.0.1:"+videoPort+"?pkt_size=1200",
		"-map", "[audio]", "-c:a", "libopus", "-ac", "1", "-application", "voip", "-b:a", sound, "-compression_level", strconv.Itoa(j.sound.Complexity),
		"-fec:a", "1", "-packet_loss:a", "5", "-frame_duration", "20",
		"-f", "rtp", "rtp://127.0.0.1:"+audioPort)
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
	args = append(args, words("! vp8enc deadline=1 cpu-used=-8 threads=1 lag-in-frames=0 end-usage=cbr target-bitrate=%d min-quantizer=4 max-quantizer=63"+
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
