package pion

import (
	"errors"
	"net"
	"time"

	"transponder/internal/limits"
	"transponder/internal/rtc"
)

// Config says how clients are connected, received and played to.
type Config struct {
	TCP     bool // accept ICE-TCP too
	TCPPort int  // 0: any free one
	// TCPListener stands for TCPPort; nil: New opens that. The endpoint closes it.
	TCPListener net.Listener

	// Expiry ends a session when nothing came from its client for so long (RFC 7675 allows 30 s). Until then the client may restart ICE.
	Expiry time.Duration
	// KeepAlive is the time between two ICE checks of ours.
	KeepAlive time.Duration

	// MaxBitrate, in bit/s, is the limit for senders without transport-wide feedback (REMB).
	MaxBitrate int

	// Orientation lets senders send pictures unrotated, with the rotation beside them (CVO). RTMP cannot carry a rotation
	// that players respect. Without Orientation senders rotate the pictures themselves, and more viewers see them upright.
	Orientation bool

	JitterBuffer rtc.JitterBufferConfig // codec, NACK, rotation and parameter sets come from the offer
}

// TCPPortRange is the range of Config.TCPPort.
var TCPPortRange = limits.Of(0, 65535)

// DefaultConfig suits a server on a public address or on a laptop.
func DefaultConfig() Config {
	return Config{
		Expiry:       30 * time.Second,
		KeepAlive:    2 * time.Second,
		MaxBitrate:   10_000_000,
		JitterBuffer: rtc.DefaultJitterBufferConfig(),
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	errs := []error{TCPPortRange.Check("media TCP port", c.TCPPort)}
	if c.Expiry <= 0 || c.KeepAlive <= 0 {
		errs = append(errs, errors.New("expiry and keep-alive times must be positive"))
	}
	return errors.Join(errs...)
}
