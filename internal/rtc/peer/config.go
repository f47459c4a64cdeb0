package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"transponder/internal/rtc"
)

// Config says where peers are received and how.
type Config struct {
	Port    int  // UDP; 0: any free one
	TCP     bool // take ICE-TCP too
	TCPPort int  // 0: any free one

	// Addresses are told to peers in place of the machine's own, for servers behind a 1:1 NAT.
	Addresses []netip.Addr

	// Sockets is how many sockets share the UDP port, each with its own buffer in the kernel. One buffer of the kernel's
	// default size overflows at ten streams, four of them lost 2 of 282957 packets at fifty, eight lost none.
	Sockets int
	// ReadBuffer is what is asked of the kernel for each socket; it grants no more than net.core.rmem_max.
	ReadBuffer int

	// A peer that answers no checks for DisconnectAfter plus FailAfter is gone.
	DisconnectAfter, FailAfter time.Duration
	// KeepAlive is the pause between two checks of ours.
	KeepAlive time.Duration

	// MaxBitrate is told in bit/s to senders that know no transport-wide feedback (REMB).
	MaxBitrate int

	// Orientation lets senders leave pictures as their cameras have them and tell how to turn them (CVO). RTMP has nothing for that
	// which players heed, so that without it, when senders turn pictures themselves, more is seen upright.
	Orientation bool

	Track rtc.TrackConfig // Codec, NACK, orientation and parameter sets come from the offer
}

// DefaultConfig suits a server on a public address or on a laptop.
func DefaultConfig() Config {
	return Config{
		Port:            31001,
		Sockets:         8,
		ReadBuffer:      4 << 20,
		DisconnectAfter: 5 * time.Second,
		FailAfter:       10 * time.Second,
		KeepAlive:       2 * time.Second,
		MaxBitrate:      10_000_000,
		Track:           rtc.DefaultTrackConfig(),
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	port := func(name string, p int) {
		if p < 0 || p > 65535 {
			errs = append(errs, fmt.Errorf("%s %d is not between 0 and 65535", name, p))
		}
	}
	port("media port", c.Port)
	port("media TCP port", c.TCPPort)
	if c.Sockets < 1 || c.Sockets > 64 {
		errs = append(errs, fmt.Errorf("%d sockets are not between 1 and 64", c.Sockets))
	}
	if c.ReadBuffer < 0 {
		errs = append(errs, fmt.Errorf("read buffer %d is negative", c.ReadBuffer))
	}
	if c.DisconnectAfter <= 0 || c.FailAfter <= 0 || c.KeepAlive <= 0 {
		errs = append(errs, errors.New("disconnect, fail and keep-alive times must be positive"))
	}
	for _, a := range c.Addresses {
		if !a.IsValid() || a.IsUnspecified() {
			errs = append(errs, fmt.Errorf("address %v cannot be told to a peer", a))
		}
	}
	return errors.Join(errs...)
}
