package mixer

import "errors"

// ErrNoPorts: 503, all ports for plain RTP are taken.
var ErrNoPorts = errors.New("no port for RTP is free")

// LegRequest is who wants a leg of plain RTP, and where to. Exactly one of SDP,
// Media and Offer is given.
type LegRequest struct {
	Session
	SDP   string     // the other end's offer
	Media []LegMedia // or its addresses and codecs, for ends that know no SDP
	Offer bool       // or nothing: the server offers, and waits for an answer
	// Anywhere lets media go to any address, not only to those that configuration
	// allows.
	Anywhere bool
	SRTP     string // for Media and Offer: a crypto suite of RFC 4568; empty follows the server's policy
}

// LegMedia is one stream of a leg made by addresses.
type LegMedia struct {
	Kind        string // "audio" or "video"
	Address     string // IP:PORT that the other end receives RTP on; RTCP is on the port after it
	Codec       string // RTP encoding name, "opus"
	PayloadType uint8  // 96 to 127, or the codec's own by RFC 3551
	Direction   string // of the other end: "sendrecv", "sendonly", "recvonly"; empty is sendrecv
	Fmtp        string // format parameters of the other end
	Key         string // base64 of its SRTP key and salt; only with LegRequest.SRTP
}

// Leg is what is to be told of a leg of plain RTP.
type Leg struct {
	ID          string `json:"id"`
	Room        string `json:"room"`
	Participant string `json:"participant"`
	Name        string `json:"name"`
	// SDP is the server's description that holds now, Type what it is: "answer" or
	// "offer".
	SDP   string     `json:"sdp"`
	Type  string     `json:"type"`
	State string     `json:"state"` // "offered", "waiting" for media, "connected", "held"
	Audio *LegStream `json:"audio,omitempty"`
	Video *LegStream `json:"video,omitempty"`
	// Slides are pictures that the other end shows instead of Video while it has the
	// floor.
	Slides *LegStream `json:"slides,omitempty"`
}

// LegStream are the figures of one m-line.
type LegStream struct {
	Remote    string  `json:"remote"`    // where its packets go, IP:PORT
	Codecs    string  `json:"codecs"`    // agreed on, in order
	SRTP      string  `json:"srtp"`      // crypto suite; empty: in the clear
	Direction string  `json:"direction"` // of this server
	Sent      uint64  `json:"sent"`      // packets
	SentBytes uint64  `json:"sent_bytes"`
	Received  uint64  `json:"received"`
	Bytes     uint64  `json:"received_bytes"`
	Lost      uint32  `json:"lost"`           // of those to be received
	Jitter    float64 `json:"jitter_ms"`      // of arrival
	Bad       uint64  `json:"bad"`            // packets that were no use: not RTP, not authentic, of an unknown type
	PeerLoss  float64 `json:"peer_loss"`      // share that the other end reports, 0 to 1
	RTT       float64 `json:"rtt_ms"`         // 0 while unknown
	Fits      string  `json:"fits,omitempty"` // best tier that the other end takes
}
