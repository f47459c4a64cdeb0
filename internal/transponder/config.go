package transponder

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
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

// minDelay and maxDelay bound Config.MaxDelay: a group of pictures should fit, and memory is bounded in any case.
const minDelay, maxDelay = 2 * time.Second, time.Minute

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
		if d.value <= 0 {
			errs = append(errs, fmt.Errorf("%s %v is not positive", d.name, d.value))
		}
	}
	if c.RestoreAttempts < -1 || c.RestoreAttempts > maxAttempts {
		errs = append(errs, fmt.Errorf("%d attempts to restore a push are not from -1 to %d", c.RestoreAttempts, maxAttempts))
	}
	if c.RestoreInterval < minPause || c.RestoreInterval > maxPause {
		errs = append(errs, fmt.Errorf("restore interval %v is not from %v to %v", c.RestoreInterval, minPause, maxPause))
	}
	if c.HoldFor <= 0 || c.HoldFor > maxHold {
		errs = append(errs, fmt.Errorf("hold time %v is not from 0 to %v", c.HoldFor, maxHold))
	}
	if c.MaxDelay < minDelay || c.MaxDelay > maxDelay {
		errs = append(errs, fmt.Errorf("delay %v of a slow push is not from %v to %v", c.MaxDelay, minDelay, maxDelay))
	}
	if c.MaxPushes < 1 {
		errs = append(errs, fmt.Errorf("limit of %d pushes leaves none", c.MaxPushes))
	}
	errs = append(errs, c.Buffer.Validate())
	return errors.Join(errs...)
}
