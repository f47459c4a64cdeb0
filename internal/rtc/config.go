package rtc

import (
	"errors"
	"fmt"
	"time"
)

// Config says what is asked of publishers.
type Config struct {
	// ConnectTimeout bounds the time from the answer to the end of the DTLS handshake.
	ConnectTimeout time.Duration
	// ActivityTimeout ends a publication of which a track that was offered brings no media for so long; 0: never.
	ActivityTimeout              time.Duration
	ActivityAudio, ActivityVideo bool // whether the track is watched
}

// DefaultConfig waits 12 s for a connection, so that a client which waits 15 s learns why, and 60 s for media.
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
	var errs []error
	if c.ConnectTimeout <= 0 {
		errs = append(errs, fmt.Errorf("connect timeout %v is not positive", c.ConnectTimeout))
	}
	if c.ActivityTimeout < 0 {
		errs = append(errs, fmt.Errorf("activity timeout %v is negative", c.ActivityTimeout))
	}
	return errors.Join(errs...)
}
