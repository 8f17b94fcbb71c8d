package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// legPeople is one room's worth of other ends of plain RTP legs: what bots send,
// and sockets that count the pictures that come back.
type legPeople struct {
	*job
	pictures []atomic.Int64 // that came to each
}

// measureLegs prints a row of CPU time for each number of legs, each of which
// sends 360p25 in VP8 and receives 720p25 in VP8, beside the floor of the same job
// on the same machine a moment later.
func measureLegs(ctx context.Context, cfg Config, sizes []int, out io.Writer) error {
	fmt.Fprintln(out, "| legs | server, cores | each leg, ms/s | floor, cores | server / floor | pictures/s to the slowest leg | MB |")
	fmt.Fprintln(out, "|--:|--:|--:|--:|--:|--:|--:|")
	for _, n := range sizes {
		j, err := newJob(ctx, n)
		if err != nil {
			return err
		}
		cores, fps, rss, err := j.legs(ctx, cfg)
		if err != nil {
			return fmt.Errorf("%d legs: %w", n, err)
		}
		turns, err := floorTurn(ctx, cfg, j)
		if err != nil {
			return err
		}
		floor := turns[0].Cores
		fmt.Fprintf(out, "| %d | %.2f | %.0f | %.2f | %.2f | %.1f | %.0f |\n", n, cores, 1000*cores/float64(n), floor, cores/floor, fps, rss)
	}
	return nil
}

var legPort = regexp.MustCompile(`m=(audio|video) (\d+)`)

// legs measures a server with n legs in a room.
func (j *job) legs(ctx context.Context, cfg Config) (cores, fps, rss float64, err error) {
	srv, err := startServer(ctx, cfg.Binary)
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	people := &legPeople{job: j, pictures: make([]atomic.Int64, j.n)}
	crowded, leave := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer leave()
	for i := range j.n {
		var conns [2]*net.UDPConn // sound, pictures
		for k := range conns {
			if conns[k], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
				return 0, 0, 0, err
			}
			context.AfterFunc(crowded, func() { conns[k].Close() })
		}
		var leg struct{ SDP string }
		body := fmt.Sprintf(`{"identity":"leg-%d","name":"leg %d","media":[{"kind":"audio","address":"%v","codec":"opus","payload_type":97},{"kind":"video","address":"%v","codec":"VP8","payload_type":96}]}`,
			i, i, conns[0].LocalAddr(), conns[1].LocalAddr())
		if err := srv.Call(ctx, "POST", "/api/v1/rooms/"+room+"/legs", body, &leg); err != nil {
			return 0, 0, 0, err
		}
		ports := legPort.FindAllStringSubmatch(leg.SDP, -1)
		if len(ports) != 2 {
			return 0, 0, 0, fmt.Errorf("answer %q", leg.SDP)
		}
		var to [2]netip.AddrPort
		for k := range to {
			if to[k], err = netip.ParseAddrPort("127.0.0.1:" + ports[k][2]); err != nil {
				return 0, 0, 0, err
			}
		}
		wg.Go(func() { people.hear(conns[0], nil) })
		wg.Go(func() { people.hear(conns[1], &people.pictures[i]) })
		wg.Go(func() { people.send(crowded, i, conns, to) })
	}
	if err := srv.fill(ctx, 1, j.n); err != nil {
		return 0, 0, 0, err
	}
	if err := sleep(ctx, cfg.Settle); err != nil {
		return 0, 0, 0, err
	}
	counts := func() (out []int64) {
		for i := range people.pictures {
			out = append(out, people.pictures[i].Load())
		}
		return out
	}
	before, err := readUsage(srv.Cmd.Process.Pid)
	if err != nil {
		return 0, 0, 0, err
	}
	had, began := counts(), time.Now()
	if err := sleep(ctx, cfg.Window); err != nil {
		return 0, 0, 0, err
	}
	after, err := readUsage(srv.Cmd.Process.Pid)
	if err != nil {
		return 0, 0, 0, err
	}
	length := time.Since(began).Seconds()
	for i, n := range counts() {
		if f := float64(n-had[i]) / length; i == 0 || f < fps {
			fps = f
		}
	}
	return (after.cpu - before.cpu).Seconds() / length, fps, after.rss, nil
}

// hear counts pictures by their marker bits; into may be nil.
func (p *legPeople) hear(conn *net.UDPConn, into *atomic.Int64) {
	buf := make([]byte, 2000)
	var h rtp.Header
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if into == nil || n < 12 || buf[1]&0x7f != 96 {
			continue // RTCP, too
		}
		if _, err := h.Unmarshal(buf[:n]); err == nil && h.Marker {
			into.Add(1)
		}
	}
}

// send sends one clip in the clear until ctx ends.
func (p *legPeople) send(ctx context.Context, id int, conns [2]*net.UDPConn, to [2]netip.AddrPort) {
	cut := p.video.Payload.NewPacketizer()
	sound := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: uint32(2*id + 1), PayloadType: 97}}
	video := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: uint32(2*id + 2), PayloadType: 96}}
	plain := make([]byte, 1500)
	send := func(k int, q *rtp.Packet) {
		if n, err := q.MarshalTo(plain); err == nil {
			_, _ = conns[k].WriteToUDPAddrPort(plain[:n], to[k]) // like any datagram
		}
		q.SequenceNumber++
	}
	now := time.Now()
	frame, packet := p.schedule.Frame(id, now), p.schedule.Packet(id, now)
	for ctx.Err() == nil {
		frameAt, packetAt := p.schedule.FrameTime(id, frame), p.schedule.PacketTime(id, packet)
		if packetAt.Before(frameAt) {
			time.Sleep(time.Until(packetAt))
			sound.Payload, _ = p.packet(id, packet)
			sound.Timestamp = uint32(packet * 960)
			send(0, &sound)
			packet++
			continue
		}
		time.Sleep(time.Until(frameAt))
		picture := p.picture(id, frame)
		payloads, err := cut.Packetize(codec.Unit{Codec: p.video, Data: picture.Data, Keyframe: picture.Keyframe}, 1150)
		if err != nil {
			return
		}
		video.Timestamp = uint32(frame * 90_000 / jobFPS)
		for i, payload := range payloads {
			video.Payload, video.Marker = payload, i == len(payloads)-1
			send(1, &video)
		}
		frame++
	}
}
