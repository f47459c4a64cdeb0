package rtc

import (
	"errors"
	"time"

	"transponder/internal/limits"
)

// Config says what is expected of publishers.
type Config struct {
	// ConnectTimeout limits the time from the answer to the end of the DTLS handshake.
	ConnectTimeout time.Duration
	// ActivityTimeout ends a publication if an offered track brings no media for so long; 0: never.
	ActivityTimeout              time.Duration
	ActivityAudio, ActivityVideo bool // whether ActivityTimeout holds for sound, and for pictures
}

// The ranges of the settings of publishers and players.
var (
	ConnectTimeoutRange  = limits.Of(time.Millisecond, 24*time.Hour)
	ActivityTimeoutRange = limits.Of(0, 24*time.Hour)
	ExpiryRange          = limits.Of(time.Second, 24*time.Hour)
	MaxPlayersRange      = limits.Of(0, 1_000_000)
)

// DefaultConfig waits 12 s for a connection and 60 s for media. A client that waits 15 s for a connection still learns why
// there is none.
func DefaultConfig() Config {
	return Config{
		ConnectTimeout:  12 * time.Second,
		ActivityTimeout: 60 * time.Second,
		ActivityAudio:   true,
		ActivityVideo:   true,
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	return errors.Join(
		ConnectTimeoutRange.Check("connect timeout", c.ConnectTimeout),
		ActivityTimeoutRange.Check("activity timeout", c.ActivityTimeout),
	)
}
