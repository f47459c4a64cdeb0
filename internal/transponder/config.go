package transponder

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"time"

	"transponder/internal/limits"
)

// Config says how pushes are made. Requests override where they may.
type Config struct {
	NamePrefix   string // put before a stream's name to make the published one
	FullURL      bool   // requests that do not say mean a full URL
	FlashVersion string // connect's flashVer
	SendMetadata bool   // send onMetaData

	KeepAspect bool // a request's width does not count: it follows from the height and the picture's shape

	LocalAddr netip.Addr // source address of connections; the zero Addr leaves it to the system

	RootCAs       *x509.CertPool // that certificates of rtmps servers may come from; nil: the system's
	SkipTLSVerify bool           // take any certificate: for tests only

	ResolveTimeout time.Duration // for a request's host name
	ConnectTimeout time.Duration // from dialling to NetStream.Publish.Start
	WriteTimeout   time.Duration // a peer that takes nothing for so long is stalled
	MaxDelay       time.Duration // a peer that takes too little gets pictures no later than this: others are dropped
	DrainTimeout   time.Duration // to send what is queued and say goodbye
	FailedFor      time.Duration // how long a failed push can still be found

	MaxPushes int // more are refused

	// How requests without a policy of their own connect anew: not at all, or so many times in a row, after a pause each.
	Restore         bool
	RestoreAttempts int // -1: any number
	RestoreInterval time.Duration

	Buffer BufferConfig // makes what is sent smoother, and later

	HoldFor time.Duration // how long a publisher is waited for with options.onSourceLoss, if the request does not say

	Targets TargetPolicy // where pushes may go

	// Resolve returns the addresses of a host name; nil asks the system.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	dialTCP func(ctx context.Context, a netip.AddrPort) (net.Conn, error) // nil: the network; for tests
}

// The ranges of a Config's values, and of the members of options that override them.
var (
	TimeoutRange   = limits.Of(time.Millisecond, 24*time.Hour)
	MaxDelayRange  = limits.Of(2*time.Second, time.Minute) // a group of pictures should fit, and memory is bounded in any case
	FailedForRange = limits.Of(0, 24*time.Hour)
	MaxPushesRange = limits.Of(1, 1_000_000)
	HoldForRange   = limits.Of(time.Millisecond, 24*time.Hour)

	RestoreAttemptsRange = limits.Of(-1, 1_000_000) // -1: any number
	RestorePauseRange    = limits.Of(minPause, time.Hour)
)

// DefaultConfig follows the contract's defaults. The flash version is the one that encoders commonly send: servers that
// pick by it expect an encoder.
func DefaultConfig() Config {
	return Config{
		NamePrefix:     "rtmp_",
		FlashVersion:   "FMLE/3.0 (compatible; FMSc/1.0)",
		SendMetadata:   true,
		KeepAspect:     true,
		ResolveTimeout: 3 * time.Second,
		ConnectTimeout: 10 * time.Second,
		WriteTimeout:   10 * time.Second,
		MaxDelay:       5 * time.Second,
		DrainTimeout:   time.Second,
		FailedFor:      10 * time.Second,
		MaxPushes:      1000,

		RestoreAttempts: 3,
		RestoreInterval: 5 * time.Second,

		Buffer:  DefaultBufferConfig(),
		HoldFor: time.Minute,
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"resolve timeout", c.ResolveTimeout},
		{"connect timeout", c.ConnectTimeout},
		{"write timeout", c.WriteTimeout},
		{"drain timeout", c.DrainTimeout},
	} {
		errs = append(errs, TimeoutRange.Check(d.name, d.value))
	}
	return errors.Join(append(errs,
		RestoreAttemptsRange.Check("number of attempts to restore a push", c.RestoreAttempts),
		RestorePauseRange.Check("restore interval", c.RestoreInterval),
		HoldForRange.Check("hold time", c.HoldFor),
		MaxDelayRange.Check("delay of a slow push", c.MaxDelay),
		FailedForRange.Check("time that a failed push can be found", c.FailedFor),
		MaxPushesRange.Check("number of pushes", c.MaxPushes),
		c.Buffer.Validate(),
	)...)
}
