package load

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"

	"github.com/pion/stun"
	"github.com/pion/transport/v2"
	"github.com/pion/transport/v2/stdnet"
)

// tap is the machine's network, and remembers the sockets that a connection
// opens: what is written there passes neither ICE nor SRTP.
type tap struct {
	*stdnet.Net
	mu    sync.Mutex
	conns []transport.UDPConn
}

func newTap() (*tap, error) {
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	return &tap{Net: n}, nil
}

// ListenUDP implements transport.Net.
func (t *tap) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	c, err := t.Net.ListenUDP(network, addr)
	if err == nil {
		t.mu.Lock()
		t.conns = append(t.conns, c)
		t.mu.Unlock()
	}
	return c, err
}

// wire returns a way to send datagrams to the server from the address that the
// session uses, and the server's address.
func (a *attack) wire() (send func([]byte) error, server *net.UDPAddr, err error) {
	pair, err := a.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil {
		return nil, nil, err
	}
	if pair == nil {
		return nil, nil, errors.New("no candidate pair was selected")
	}
	server = &net.UDPAddr{IP: net.ParseIP(pair.Remote.Address), Port: int(pair.Remote.Port)}
	a.tap.mu.Lock()
	defer a.tap.mu.Unlock()
	for _, c := range a.tap.conns {
		if l, ok := c.LocalAddr().(*net.UDPAddr); ok && l.Port == int(pair.Local.Port) {
			return func(b []byte) error {
				a.packets.Add(1)
				_, err := c.WriteTo(b, server)
				return err
			}, server, nil
		}
	}
	return nil, nil, errors.New("the session's socket was not seen")
}

// strangers is from how many other addresses a STUN flood comes.
const strangers = 200

// stunFlood sends connectivity checks: good ones from the session's address and
// from many others, and such as have no or somebody else's credentials.
func stunFlood(ctx context.Context, a *attack) error {
	send, server, err := a.wire()
	if err != nil {
		return err
	}
	var others []*net.UDPConn
	defer func() {
		for _, c := range others {
			_ = c.Close()
		}
	}()
	for range strangers {
		c, err := net.DialUDP("udp", nil, server)
		if err != nil {
			return err
		}
		others = append(others, c)
	}
	user := attribute(a.answer, "ice-ufrag") + ":" + attribute(a.offer, "ice-ufrag")
	password := attribute(a.answer, "ice-pwd")
	return a.every(ctx, 5000, func(i int) error {
		name, secret := user, password
		switch i % 8 {
		case 0:
			secret = "wrong"
		case 1:
			name = "nobody:" + name
		case 2:
			name = string(rune('a'+rand.IntN(26))) + user
		}
		m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(name), number(stun.AttrPriority, 4, rand.Uint64()),
			number(stun.AttrICEControlling, 8, rand.Uint64()), stun.NewShortTermIntegrity(secret), stun.Fingerprint)
		if err != nil {
			return err
		}
		b := m.Raw
		if i%8 == 3 {
			b = b[:20+rand.IntN(len(b)-20)]
		}
		if i%2 == 0 {
			return send(b)
		}
		a.packets.Add(1)
		_, _ = others[rand.IntN(len(others))].Write(b) // refused is no news
		return nil
	})
}

// number is a STUN attribute of so many bytes.
func number(t stun.AttrType, size int, v uint64) stun.RawAttribute {
	b := binary.BigEndian.AppendUint64(nil, v)
	return stun.RawAttribute{Type: t, Value: b[8-size:]}
}

// attribute returns the first SDP attribute of a name.
func attribute(sdp, name string) string {
	_, rest, _ := strings.Cut(sdp, "a="+name+":")
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}
