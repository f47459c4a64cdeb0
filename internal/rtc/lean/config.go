package lean

import (
	"errors"
	"fmt"
	"time"

	"transponder/internal/rtc"
)

// Config says how peers are received.
type Config struct {
	// A peer of which nothing genuine came for Expiry is gone (RFC 7675 would bear with 30 s).
	Expiry time.Duration
	// KeepAlive is the pause between two checks of ours, which tell the round trip time.
	KeepAlive time.Duration
	// Handshakes is how many DTLS handshakes there may be at a time; others wait, but none for one that takes longer than a quarter
	// of a second. One is a millisecond or two of work.
	Handshakes int

	// MaxBitrate is told in bit/s to senders that know no transport-wide feedback (REMB).
	MaxBitrate int
	// Orientation lets senders leave pictures as their cameras have them and tell how to turn them (CVO).
	Orientation bool

	JitterBuffer rtc.JitterBufferConfig // Codec, NACK, orientation and parameter sets come from the offer
}

// DefaultConfig does as package peer's does.
func DefaultConfig() Config {
	return Config{
		Expiry:       15 * time.Second,
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
