package pion

import (
	"errors"
	"time"

	"transponder/internal/limits"
	"transponder/internal/rtc"
)

// Config says how peers are received.
type Config struct {
	TCP     bool // take ICE-TCP too
	TCPPort int  // 0: any free one

	// A peer that answers no checks for DisconnectAfter plus FailAfter is gone.
	DisconnectAfter, FailAfter time.Duration
	// KeepAlive is the pause between two checks of ours.
	KeepAlive time.Duration

	// MaxBitrate is told in bit/s to senders that know no transport-wide feedback (REMB).
	MaxBitrate int

	// Orientation lets senders leave pictures as their cameras have them and tell how to turn them (CVO). RTMP has nothing for that
	// which players heed, so that without it, when senders turn pictures themselves, more is seen upright.
	Orientation bool

	JitterBuffer rtc.JitterBufferConfig // Codec, NACK, orientation and parameter sets come from the offer
}

// TCPPortRange is the range of Config.TCPPort.
var TCPPortRange = limits.Of(0, 65535)

// DefaultConfig suits a server on a public address or on a laptop.
func DefaultConfig() Config {
	return Config{
		DisconnectAfter: 5 * time.Second,
		FailAfter:       10 * time.Second,
		KeepAlive:       2 * time.Second,
		MaxBitrate:      10_000_000,
		JitterBuffer:    rtc.DefaultJitterBufferConfig(),
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	errs := []error{TCPPortRange.Check("media TCP port", c.TCPPort)}
	if c.DisconnectAfter <= 0 || c.FailAfter <= 0 || c.KeepAlive <= 0 {
		errs = append(errs, errors.New("disconnect, fail and keep-alive times must be positive"))
	}
	return errors.Join(errs...)
}
