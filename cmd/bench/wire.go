package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v2"

	"mixdown/codec"
)

// wire is the least that the job's network takes with the server's SRTP and one
// socket: receive and open what n people send, seal and send the composite to
// each of them. One packet is one system call. It is a row of its own: floor and
// wire together are the floor of a whole server.
type wire struct {
	n       int
	conn    *net.UDPConn
	in, out []*srtp.Context
	peers   []atomic.Pointer[netip.AddrPort] // where each was last heard
	pieces  int                              // packets of a picture
	done    wireDone
}

// wireDone is what a wire did, as it prints it at its end.
type wireDone struct {
	Seconds        float64
	Received, Sent int
	Bad            int
}

// The composite's packets, RTP header included.
const (
	wirePiece = 1100
	wireSound = 100
)

// sealing makes one direction's SRTP context of one person. AES-GCM is what the
// server prefers and the bots take.
func sealing(person int, direction byte) (*srtp.Context, error) {
	key, salt := make([]byte, 16), make([]byte, 12)
	binary.BigEndian.PutUint32(key, uint32(person))
	key[15] = direction
	return srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
}

func newWire(n int) (*wire, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(4 << 20) // as much as the system gives
	w := &wire{n: n, conn: conn, peers: make([]atomic.Pointer[netip.AddrPort], n)}
	for i := range n {
		in, err := sealing(i, 0)
		if err != nil {
			return nil, err
		}
		out, err := sealing(i, 1)
		if err != nil {
			return nil, err
		}
		w.in, w.out = append(w.in, in), append(w.out, out)
	}
	return w, nil
}

// receive opens whatever comes until the socket is closed. The SSRC is twice the
// person's number, one more for sound.
func (w *wire) receive() error {
	buf, plain := make([]byte, 1500), make([]byte, 0, 1500)
	var h rtp.Header
	for {
		n, from, err := w.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		if _, err := h.Unmarshal(buf[:n]); err != nil || int(h.SSRC/2) >= w.n {
			w.done.Bad++
			continue
		}
		i := h.SSRC / 2
		if _, err := w.in[i].DecryptRTP(plain, buf[:n], &h); err != nil {
			w.done.Bad++
			continue
		}
		w.done.Received++
		if w.peers[i].Load() == nil {
			w.peers[i].Store(&from)
		}
	}
}

// send sends everybody a picture every other tick and a packet of sound every
// tick.
func (w *wire) send(ctx context.Context) error {
	plain, sealed := make([]byte, wirePiece), make([]byte, 0, 1500)
	numbers := make([][2]uint16, w.n)
	tick := time.NewTicker(soundTick)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for i := range w.peers {
			to := w.peers[i].Load()
			if to == nil {
				continue
			}
			pieces := 0
			if n%2 == 0 {
				pieces = w.pieces
			}
			for k := range pieces + 1 {
				sound, size := uint32(0), wirePiece
				if k == pieces {
					sound, size = 1, wireSound
				}
				h := rtp.Header{Version: 2, SSRC: uint32(2*i) + sound, SequenceNumber: numbers[i][sound], Timestamp: uint32(n), Marker: k == pieces-1}
				numbers[i][sound]++
				if _, err := h.MarshalTo(plain); err != nil {
					return err
				}
				out, err := w.out[i].EncryptRTP(sealed, plain[:size], &h)
				if err != nil {
					return err
				}
				if _, err := w.conn.WriteToUDPAddrPort(out, *to); err != nil {
					return err
				}
				w.done.Sent++
			}
		}
	}
}

// wireCommand is `bench wire`: the network's row until it is stopped, in a
// process of its own. It prints its address first.
func wireCommand(ctx context.Context, n int, out io.Writer) error {
	j, err := newJob(ctx, 0)
	if err != nil {
		return err
	}
	w, err := newWire(n)
	if err != nil {
		return err
	}
	w.pieces = (j.tier.Bitrate/8/int(j.tier.FPS) + wirePiece - 1) / wirePiece
	fmt.Fprintln(out, w.conn.LocalAddr())
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- w.receive() }()
	err = w.send(ctx)
	w.conn.Close()
	if e := <-ended; !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return err
	}
	w.done.Seconds = time.Since(began).Seconds()
	return json.NewEncoder(out).Encode(w.done)
}

// crowd is n people at the far end of a wire, who are not measured. Each has a
// socket, sends what a bot sends when a bot sends it, and throws away what comes.
func (j *job) crowd(ctx context.Context, to netip.AddrPort) error {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	var people sync.WaitGroup
	for id := range j.n {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			leave(err)
			break
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		people.Go(func() {
			buf := make([]byte, 1500)
			for ctx.Err() == nil {
				_, _ = conn.Read(buf) // refused while nobody listens
			}
		})
		people.Go(func() {
			defer stop()
			if err := j.person(ctx, id, conn); err != nil && ctx.Err() == nil {
				leave(err)
			}
		})
	}
	people.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// person sends one clip.
func (j *job) person(ctx context.Context, id int, conn net.Conn) error {
	seal, err := sealing(id, 0)
	if err != nil {
		return err
	}
	cut := j.video.Payload.NewPacketizer()
	var video, audio rtp.Packet
	video.Header = rtp.Header{Version: 2, SSRC: uint32(2 * id)}
	audio.Header = rtp.Header{Version: 2, SSRC: uint32(2*id + 1), Marker: true}
	plain, sealed := make([]byte, 1500), make([]byte, 0, 1500)
	send := func(p *rtp.Packet) error {
		n, err := p.MarshalTo(plain)
		if err != nil {
			return err
		}
		out, err := seal.EncryptRTP(sealed, plain[:n], &p.Header)
		if err != nil {
			return err
		}
		p.SequenceNumber++
		_, err = conn.Write(out)
		return err
	}
	now := time.Now()
	frame, packet := j.schedule.Frame(id, now), j.schedule.Packet(id, now)
	for ctx.Err() == nil {
		frameAt, packetAt := j.schedule.FrameTime(id, frame), j.schedule.PacketTime(id, packet)
		if packetAt.Before(frameAt) {
			time.Sleep(time.Until(packetAt))
			audio.Payload, _ = j.packet(id, packet)
			if err := send(&audio); err != nil {
				return err
			}
			packet++
			continue
		}
		time.Sleep(time.Until(frameAt))
		p := j.picture(id, frame)
		payloads, err := cut.Packetize(codec.Unit{Codec: j.video, Data: p.Data, Keyframe: p.Keyframe}, 1150)
		if err != nil {
			return err
		}
		for i, payload := range payloads {
			video.Payload, video.Marker = payload, i == len(payloads)-1
			if err := send(&video); err != nil {
				return err
			}
		}
		frame++
	}
	return nil
}
