package wcs

import (
	"errors"
	"fmt"
	"path"
	"time"

	"transponder/internal/limits"
)

// Config says how sessions are treated.
type Config struct {
	NodeID  string   // told to browsers in stream objects; empty: left out
	Origins []string // hosts, or scheme://host, that pages may come from, as patterns of path.Match; none: any

	// FailWithPush ends a stream whose rtmpUrl push failed; else its page only gets an event.
	FailWithPush bool

	PingInterval   time.Duration
	MaxMissedPings int           // unanswered in a row; then the socket is closed
	ConnectTimeout time.Duration // from the upgrade to the message "connection"
	AnswerTimeout  time.Duration // for the answer to an offer to be made
	WriteTimeout   time.Duration // a browser that takes no message for so long is too slow
	CloseTimeout   time.Duration // for the other side to answer a close

	ReadyTimeout    time.Duration // a player waits so long for a stream whose publisher is not connected yet
	SnapshotTimeout time.Duration
	KeepAliveGrace  time.Duration // a session that asked for it survives its socket so long; 0: none does

	MaxSessions   int // sockets at a time; more are refused with 503
	MaxKept       int // sessions without a socket at a time; more are not kept
	MaxPublishers int // streams that one session publishes at a time
	MaxPlayers    int // and plays
	MaxMessage    int // bytes of one message
	MaxQueue      int // messages waiting to be sent to one browser
	MaxQueueBytes int // and what they may have together before another one comes

	// A session may send Burst units at once and Rate a second after that. A message costs one, and one more for every 4 KiB.
	Rate, Burst int
}

// The ranges of the numbers that are settings.
var (
	MaxSessionsRange    = limits.Of(1, 1_000_000)
	MaxKeptRange        = limits.Of(0, 1_000_000)
	MaxPlayersRange     = limits.Of(1, 10_000)
	ReadyTimeoutRange   = limits.Of(time.Millisecond, 24*time.Hour)
	KeepAliveGraceRange = limits.Of(0, 24*time.Hour)
)

// DefaultConfig pings as the original server does. The burst covers the SDK's log push, which sends its whole backlog, a
// message for each line; a publish with its offer costs four units.
func DefaultConfig() Config {
	return Config{
		PingInterval:   5 * time.Second,
		MaxMissedPings: 10,
		ConnectTimeout: 10 * time.Second,
		AnswerTimeout:  10 * time.Second,
		WriteTimeout:   10 * time.Second,
		CloseTimeout:   time.Second,

		ReadyTimeout:    5 * time.Second,
		SnapshotTimeout: 10 * time.Second,
		KeepAliveGrace:  time.Minute,

		MaxSessions:   5000,
		MaxKept:       1000,
		MaxPublishers: 16,
		MaxPlayers:    64,
		MaxMessage:    512 << 10,
		MaxQueue:      256,
		MaxQueueBytes: 4 << 20,

		Rate:  200,
		Burst: 2000,
	}
}

// minMessage is what a publish may take: an offer of 12 kB and the names of many devices.
const minMessage = 256 << 10

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	errs := []error{
		MaxSessionsRange.Check("number of sessions", c.MaxSessions),
		MaxKeptRange.Check("number of kept sessions", c.MaxKept),
		MaxPlayersRange.Check("number of players", c.MaxPlayers),
		ReadyTimeoutRange.Check("ready timeout", c.ReadyTimeout),
		KeepAliveGraceRange.Check("keep-alive grace", c.KeepAliveGrace),
	}
	for name, d := range map[string]time.Duration{
		"ping interval": c.PingInterval, "connect timeout": c.ConnectTimeout, "answer timeout": c.AnswerTimeout,
		"write timeout": c.WriteTimeout, "close timeout": c.CloseTimeout, "snapshot timeout": c.SnapshotTimeout,
	} {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s %v is not positive", name, d))
		}
	}
	for name, n := range map[string]int{
		"missed pings": c.MaxMissedPings, "publishers": c.MaxPublishers, "queued messages": c.MaxQueue,
		"queued bytes": c.MaxQueueBytes, "message rate": c.Rate,
	} {
		if n <= 0 {
			errs = append(errs, fmt.Errorf("%s: %d is not positive", name, n))
		}
	}
	if c.MaxMessage < minMessage {
		errs = append(errs, fmt.Errorf("message size %d is under %d", c.MaxMessage, minMessage))
	}
	if least := cost(c.MaxMessage); c.Burst < least {
		errs = append(errs, fmt.Errorf("message burst %d is under %d, what the biggest message costs", c.Burst, least))
	}
	for _, pattern := range c.Origins {
		if _, err := path.Match(pattern, ""); err != nil {
			errs = append(errs, fmt.Errorf("origin %q: %w", pattern, err))
		}
	}
	return errors.Join(errs...)
}

// cost is what a message of so many bytes takes from a session's allowance.
func cost(size int) int { return 1 + size/4096 }
