package lean

import (
	"errors"
	"fmt"
	"time"

	"transponder/internal/rtc"
)

// Config says how publishers are received.
type Config struct {
	// Expiry ends a session when nothing genuine came from its client for so long (RFC 7675 allows 30 s). Until then the client may
	// restart ICE.
	Expiry time.Duration
	// KeepAlive is the time between two ICE checks of ours. They tell the round trip time.
	KeepAlive time.Duration
	// Handshakes limits how many DTLS handshakes run at a time; more have to wait. A handshake that takes longer than a
	// quarter of a second counts no more. One handshake takes one or two milliseconds of CPU.
	Handshakes int

	// MaxBitrate, in bit/s, is the limit for senders without transport-wide feedback (REMB).
	MaxBitrate int
	// Orientation lets senders send pictures unrotated, with the rotation beside them (CVO).
	Orientation bool

	JitterBuffer rtc.JitterBufferConfig // codec, NACK, rotation and parameter sets come from the offer
}

// DefaultConfig has the same times and limits as the one of package pion.
func DefaultConfig() Config {
	return Config{
		Expiry:       30 * time.Second,
		KeepAlive:    2 * time.Second,
		Handshakes:   64,
		MaxBitrate:   10_000_000,
		JitterBuffer: rtc.DefaultJitterBufferConfig(),
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Expiry <= 0 || c.KeepAlive <= 0 {
		errs = append(errs, errors.New("expiry and keep-alive times must be positive"))
	}
	if c.Handshakes < 1 {
		errs = append(errs, fmt.Errorf("%d handshakes at a time are too few", c.Handshakes))
	}
	return errors.Join(errs...)
}
