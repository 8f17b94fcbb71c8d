package webrtc

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/pion/dtls/v2"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v2"
	"github.com/pion/webrtc/v3"
)

// direct encrypts one stream's packets straight into the batch that they go out
// with, where pion takes them through eight layers and four allocations. It does
// so for AES-GCM over UDP; all else takes pion's way.
type direct struct {
	pion   rtpWriter
	routes *atomic.Pointer[route] // the peer's
	gcm    *gcm                   // of all streams of the peer
	roc    uint32                 // rollover counter (RFC 3711, section 3.3.1)
	newest uint16
	begun  bool

	extension uint8 // id of the transport-wide number; 0: there is none
	block     [wideBlock]byte
}

// route is where a peer's media goes: its selected candidate pair over UDP.
type route struct {
	batch   *batch
	to      address
	inwards *inwards // of the socket
	from    netip.AddrPort
}

// pionEvery is how often a packet takes pion's way nevertheless: pion's rollover
// counter has to be right when a client moves to TCP, so it must see the first
// packet, and then one in less than half a cycle of sequence numbers. A power of
// two.
const pionEvery = 1 << 13

// WriteRTP implements rtpWriter. The header has no CSRCs, and no extension but the
// transport-wide number.
func (d *direct) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	first := !d.begun
	roc := d.rollover(h.SequenceNumber)
	r := d.routes.Load()
	if r == nil || first || h.SequenceNumber%pionEvery == 0 {
		return d.pion.WriteRTP(h, payload)
	}
	return r.batch.seal(d.gcm, h, roc, d.numbered(h), payload, &r.to), nil
}

// numbered returns the header extension of a packet, one element with a header of
// one byte (RFC 8285, section 4.2).
func (d *direct) numbered(h *rtp.Header) []byte {
	if d.extension == 0 {
		return nil
	}
	d.block = [wideBlock]byte{0xbe, 0xde, 0, 1, d.extension<<4 | 1}
	copy(d.block[5:7], h.GetExtension(d.extension))
	return d.block[:]
}

// rollover returns the counter of a sequence number, which may be an earlier one.
func (d *direct) rollover(seq uint16) uint32 {
	if !d.begun {
		d.begun, d.newest = true, seq
	}
	switch ahead := int16(seq - d.newest); {
	case ahead > 0:
		if seq < d.newest {
			d.roc++
		}
		d.newest = seq
	case seq > d.newest:
		return d.roc - 1
	}
	return d.roc
}

// gcm is AEAD_AES_128_GCM for SRTP (RFC 7714) with one session's keys.
type gcm struct {
	aead cipher.AEAD
	salt [12]byte
	iv   [12]byte // here, since what a call to an interface takes is allocated
}

// Labels of keys (RFC 3711, section 4.3.1).
const (
	labelRTP     = 0
	labelRTPSalt = 2
)

const (
	plainHeader = 12 // of RTP, without extensions and CSRCs
	wideBlock   = 8  // header extension with a transport-wide number
	gcmTag      = 16
)

func newGCM(masterKey, masterSalt []byte) (*gcm, error) {
	block, err := aes.NewCipher(derive(masterKey, masterSalt, labelRTP, 16))
	if err != nil {
		return nil, err
	}
	g := new(gcm)
	copy(g.salt[:], derive(masterKey, masterSalt, labelRTPSalt, 12))
	g.aead, err = cipher.NewGCM(block)
	return g, err
}

// derive makes n bytes of a session key (RFC 3711, section 4.3; RFC 7714,
// section 11), without a key derivation rate. masterKey has 16 bytes.
func derive(masterKey, masterSalt []byte, label byte, n int) []byte {
	var iv [aes.BlockSize]byte
	copy(iv[:14], masterSalt)
	iv[7] ^= label
	block, _ := aes.NewCipher(masterKey) // 16 bytes it takes
	out := make([]byte, n)
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, out)
	return out
}

// seal writes a whole SRTP packet into dst, which has room for it, and returns
// how long it is. extension follows the header.
func (g *gcm) seal(dst []byte, h *rtp.Header, roc uint32, extension, payload []byte) int {
	dst[0] = 2 << 6
	if h.Padding {
		dst[0] |= 1 << 5
	}
	if len(extension) > 0 {
		dst[0] |= 1 << 4
	}
	dst[1] = h.PayloadType
	if h.Marker {
		dst[1] |= 1 << 7
	}
	binary.BigEndian.PutUint16(dst[2:], h.SequenceNumber)
	binary.BigEndian.PutUint32(dst[4:], h.Timestamp)
	binary.BigEndian.PutUint32(dst[8:], h.SSRC)
	// RFC 7714, section 8.1.
	g.iv = g.salt
	for i := range 4 {
		g.iv[2+i] ^= dst[8+i]
		g.iv[6+i] ^= byte(roc >> (24 - 8*i))
	}
	g.iv[10] ^= dst[2]
	g.iv[11] ^= dst[3]
	n := plainHeader + copy(dst[plainHeader:], extension)
	g.aead.Seal(dst[n:n], g.iv[:], payload, dst[:n])
	return n + len(payload) + gcmTag
}

// follow keeps the peer's route up to date with ICE.
func (t *Transport) follow(p *peer) {
	p.pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		p.lead(t.sockets.route(pair))
		select {
		case <-p.ready: // long since: the client has the answer
			p.over(pair)
		default:
		}
	})
}

// route returns how to send to a candidate pair, nil if only pion can.
func (s *sockets) route(pair *webrtc.ICECandidatePair) *route {
	if pair == nil || pair.Local.Protocol != webrtc.ICEProtocolUDP || pair.Local.Typ != webrtc.ICECandidateTypeHost {
		return nil
	}
	local, err := netip.ParseAddr(pair.Local.Address)
	if err != nil {
		return nil
	}
	remote, err := netip.ParseAddr(pair.Remote.Address)
	if err != nil || remote.Zone() != "" {
		return nil
	}
	for i, b := range s.out {
		if b.local == local.Unmap().WithZone("") {
			r := &route{batch: b, inwards: s.in[i], from: netip.AddrPortFrom(remote.Unmap(), pair.Remote.Port)}
			b.address(&r.to, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, pair.Remote.Port)))
			return r
		}
	}
	return nil
}

// shorten lets the streams of a peer that has connected go the direct way: what
// comes in, and what goes out if the client took AES-GCM.
func (p *peer) shorten() error {
	conn := dtlsConn(p.pc.SCTP().Transport())
	if conn == nil {
		return errors.New("pion keeps its DTLS connection elsewhere now")
	}
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("no SRTP profile")
	}
	state := conn.ConnectionState()
	cfg := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	err := cfg.ExtractSessionKeysFromDTLS(&state, strings.Contains(p.answer.sdp, "a=setup:active"))
	if err != nil {
		return fmt.Errorf("SRTP keys: %w", err)
	}
	in, err := newInward(p, cfg.Keys, cfg.Profile)
	if err != nil {
		return err
	}
	p.open(in)
	if p.sink == nil || profile != dtls.SRTP_AEAD_AES_128_GCM {
		return nil
	}
	if p.gcm, err = newGCM(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt); err != nil {
		return err
	}
	for _, o := range []*outgoing{p.sink.video, p.sink.audio} {
		if o != nil {
			o.writer = &direct{pion: o.writer, routes: &p.route, gcm: p.gcm, extension: o.extension}
		}
	}
	return nil
}

// dtlsConn returns what the SRTP keys are exported from (RFC 5764, section 4.2).
// pion has no other access to it; nil if it is not where pion v3 keeps it.
func dtlsConn(t *webrtc.DTLSTransport) *dtls.Conn {
	f := reflect.ValueOf(t).Elem().FieldByName("conn")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*dtls.Conn]() {
		return nil
	}
	return *(**dtls.Conn)(f.Addr().UnsafePointer())
}
