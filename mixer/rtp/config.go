package rtp

import (
	"fmt"
	"net/netip"
	"time"
)

// Policy says whether media is encrypted (SDES keys, RFC 4568).
type Policy string

const (
	Off      Policy = "off"      // in the clear only
	Optional Policy = "optional" // as the other end offers
	// Preferred is for one leg whose signaling hides keys: Optional, and offered
	// beside media in the clear. Where the configuration is not optional it is that.
	Preferred Policy = "preferred"
	Required  Policy = "required"
)

// Config is what an operator decides about plain RTP.
type Config struct {
	// Ports are the first and the last UDP port for media. A stream takes an even
	// one for RTP and the odd one behind it for RTCP.
	First, Last int
	// Address is the IP address that other ends reach this server on; empty takes
	// that of the interface towards each of them.
	Address string
	SRTP    Policy
	// Silence is how long a leg may send nothing before it ends. A leg that is
	// held, or only receives, is not waited for.
	Silence time.Duration
	// Allow judges addresses for legs that are not made with LegRequest.Anywhere; nil
	// allows none.
	Allow func(netip.Addr) error
	// MaxLegs is how many there may be.
	MaxLegs int
	// Packets bounds what one stream sends, packets a second.
	Packets int
}

// DefaultConfig holds for an operator who says nothing.
func DefaultConfig() Config {
	return Config{First: 20_000, Last: 20_999, SRTP: Optional, Silence: time.Minute, MaxLegs: 100, Packets: 3000}
}

// Validate names the key that is wrong, as it stands in the configuration.
func (c Config) Validate() error {
	switch {
	case c.First < 1024 || c.Last > 65535 || c.Last-c.First < 3:
		return fmt.Errorf("rtp.ports: %d to %d: want four ports or more between 1024 and 65535", c.First, c.Last)
	case c.SRTP != Off && c.SRTP != Optional && c.SRTP != Required:
		return fmt.Errorf("rtp.srtp: %q is neither off nor optional nor required", c.SRTP)
	case c.Silence < time.Second:
		return fmt.Errorf("rtp.silence: %v is less than a second", c.Silence)
	case c.MaxLegs < 1:
		return fmt.Errorf("rtp.legs: %d: want 1 or more", c.MaxLegs)
	case c.Packets < 100:
		return fmt.Errorf("rtp.packets: %d a second: want 100 or more", c.Packets)
	}
	if c.Address != "" {
		if ip, err := netip.ParseAddr(c.Address); err != nil || ip.IsUnspecified() {
			return fmt.Errorf("rtp.address: %q is no IP address", c.Address)
		}
	}
	return nil
}
