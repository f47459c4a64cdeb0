package wcs

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"time"

	"transponder/internal/limits"
	"transponder/internal/rtc"
	"transponder/internal/sip"
)

// Config holds the settings of the door.
type Config struct {
	NodeID string // sent to browsers in stream objects; empty: left out
	// ICEServers are told to browsers.
	ICEServers rtc.ICEServers

	Origins []string // hosts, or scheme://host, of the pages that may connect, as patterns of path.Match; none: every page

	// FailWithPush ends a stream if the push to its rtmpUrl fails. Otherwise the page only gets an event.
	FailWithPush bool

	PingInterval   time.Duration
	MaxMissedPings int           // in a row, without an answer; after that the socket is closed
	ConnectTimeout time.Duration // from the upgrade to the message "connection"
	AnswerTimeout  time.Duration // for making the answer to an offer
	WriteTimeout   time.Duration // a browser that takes no message for this long is too slow
	CloseTimeout   time.Duration // for the browser to answer a close frame

	ReadyTimeout    time.Duration // how long a player waits for a publisher that is not connected yet
	SnapshotTimeout time.Duration
	KeepAliveGrace  time.Duration // how long a session with keepAlive survives its socket; 0: none does

	// LocalCalls lets pages call each other by the login of their accounts, if the domain of the account is this server. There are no
	// passwords then.
	LocalCalls bool
	RingTime   time.Duration // how long such a call rings

	// ClickToCall is for pages that give no account, and for pages of the application clickToCallApp, whatever account they give. If Callee is
	// empty, pages without an account cannot call, and pages of clickToCallApp use their own accounts.
	ClickToCall ClickToCall

	MaxSessions   int // open sockets; more are refused with 503
	MaxUnadmitted int // open sockets of one address whose page has not been let in
	MaxKept       int // sessions that wait for their browser; more are not kept
	MaxPublishers int // streams that one session may publish at a time
	MaxPlayers    int // streams that one session may play at a time
	MaxMessage    int // bytes of one message
	MaxCalls      int // calls that one session may have at a time, those that ring included
	MaxQueue      int // messages waiting to be sent to one browser
	MaxQueueBytes int // bytes waiting to be sent to one browser, before another message is added

	// A browser may send Burst units at once over its socket, and Rate units a second after that. A message costs one unit, and
	// one more for every 4 KiB.
	Rate, Burst int
}

// ClickToCall is an account that pages use without knowing it, and the only callee that they may call.
type ClickToCall struct {
	Account sip.Account
	Callee  string
}

// The ranges of the numbers that are settings.
var (
	MaxSessionsRange    = limits.Of(1, 1_000_000)
	MaxKeptRange        = limits.Of(0, 1_000_000)
	MaxPlayersRange     = limits.Of(1, 10_000)
	ReadyTimeoutRange   = limits.Of(time.Millisecond, 24*time.Hour)
	KeepAliveGraceRange = limits.Of(0, 24*time.Hour)
)

// DefaultConfig pings as the original server does. Burst is large enough for pushLogs of the SDK, which sends all earlier log lines,
// each in a message; a publish with its offer costs four units.
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
		RingTime:        40 * time.Second,

		MaxSessions:   5000,
		MaxUnadmitted: 8,
		MaxKept:       1000,
		MaxPublishers: 16,
		MaxPlayers:    64,
		MaxCalls:      8,
		MaxMessage:    512 << 10,
		MaxQueue:      256,
		MaxQueueBytes: 4 << 20,

		Rate:  200,
		Burst: 2000,
	}
}

// WarnIfOpen logs a warning if pages call each other without passwords.
func (c Config) WarnIfOpen(log *slog.Logger) {
	if c.LocalCalls {
		log.Warn("pages call each other without passwords: everybody who opens a WebSocket can take calls for every login", "setting", "enable_local_videochat")
	}
}

// minMessage is the least that MaxMessage may be: a publish has an offer of 12 kB, and the names of many devices.
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
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"ping interval", c.PingInterval}, {"connect timeout", c.ConnectTimeout}, {"answer timeout", c.AnswerTimeout},
		{"write timeout", c.WriteTimeout}, {"close timeout", c.CloseTimeout}, {"snapshot timeout", c.SnapshotTimeout}, {"ring time", c.RingTime},
	} {
		if d.value <= 0 {
			errs = append(errs, fmt.Errorf("%s %v is not positive", d.name, d.value))
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"missed pings", c.MaxMissedPings}, {"sockets that are not admitted", c.MaxUnadmitted}, {"publishers", c.MaxPublishers}, {"calls", c.MaxCalls}, {"queued messages", c.MaxQueue},
		{"queued bytes", c.MaxQueueBytes}, {"message rate", c.Rate},
	} {
		if n.value <= 0 {
			errs = append(errs, fmt.Errorf("%s: %d is not positive", n.name, n.value))
		}
	}
	if c.MaxMessage < minMessage {
		errs = append(errs, fmt.Errorf("message size %d is under %d", c.MaxMessage, minMessage))
	}
	if least := cost(c.MaxMessage); c.Burst < least {
		errs = append(errs, fmt.Errorf("message burst %d is under %d, the cost of the largest message", c.Burst, least))
	}
	for _, pattern := range c.Origins {
		if _, err := path.Match(pattern, ""); err != nil {
			errs = append(errs, fmt.Errorf("origin %q: %w", pattern, err))
		}
	}
	return errors.Join(errs...)
}

// cost returns how many units a message of that many bytes costs.
func cost(size int) int { return 1 + size/4096 }
