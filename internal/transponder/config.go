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

// Config configures pushes. A request may override some of it.
type Config struct {
	NamePrefix   string // put before the name of a stream to make the name at the destination
	FullURL      bool   // the URL of a request is a full URL unless the request says otherwise
	FlashVersion string // flashVer of the RTMP command connect
	SendMetadata bool   // send onMetaData

	KeepAspect bool // the width follows from the height and the aspect ratio of the picture; the width of a request does not count

	LocalAddr netip.Addr // source address of connections; the zero Addr leaves it to the system

	RootCAs       *x509.CertPool // authorities for the certificates of rtmps servers; nil: those of the system
	SkipTLSVerify bool           // accept any certificate; for tests only

	ResolveTimeout time.Duration // for the host name of a request
	ConnectTimeout time.Duration // from dialling to NetStream.Publish.Start
	WriteTimeout   time.Duration // a destination that accepts nothing for so long is stalled
	MaxDelay       time.Duration // older pictures are dropped if the destination accepts too little
	DrainTimeout   time.Duration // to send queued frames and the goodbye
	FailedFor      time.Duration // how long a failed push can still be found

	MaxPushes int // more are refused

	// How pushes reconnect whose request does not say: not at all, or so many times in a row, each time after a pause.
	Restore         bool
	RestoreAttempts int // -1: any number
	RestoreInterval time.Duration

	Buffer BufferConfig // sends frames more evenly, and later

	FailBack time.Duration // how long the first address of a push is left alone after it failed, while the stream goes to another one

	HoldFor time.Duration // how long a push with options.onSourceLoss waits for a publisher if its request does not say

	// How pushes outlive the process: they wait so long for their publisher after a restart (0: not at all), unless the server was gone for longer
	// than MaxOutage; and so many connect per second (0: any number).
	ResumeFor       time.Duration
	MaxOutage       time.Duration
	ResumePerSecond int

	BackupAfter time.Duration // a stream that sends nothing for so long has failed, for pushes with options.backupStreams whose request does not say

	Targets TargetPolicy // where pushes may go

	// Resolve returns the addresses of a host name; nil: the resolver of the system.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	dialTCP func(ctx context.Context, a netip.AddrPort) (net.Conn, error) // nil: the network; for tests
}

// The ranges of the values in Config, and of the options that override them.
var (
	TimeoutRange   = limits.Of(time.Millisecond, 24*time.Hour)
	MaxDelayRange  = limits.Of(2*time.Second, time.Minute) // at least a group of pictures; memory has another bound
	FailedForRange = limits.Of(0, 24*time.Hour)
	MaxPushesRange = limits.Of(1, 1_000_000)
	HoldForRange   = limits.Of(time.Millisecond, 24*time.Hour)

	ResumeForRange       = limits.Of(0, 24*time.Hour)
	MaxOutageRange       = limits.Of(0, 30*24*time.Hour)
	ResumePerSecondRange = limits.Of(0, 10_000)
	BackupAfterRange     = limits.Of(300*time.Millisecond, time.Minute)

	RestoreAttemptsRange = limits.Of(-1, 1_000_000) // -1: any number
	RestorePauseRange    = limits.Of(minPause, time.Hour)
)

// DefaultConfig returns the defaults of the contract. The flash version is the one that encoders commonly send, because servers that look
// at it expect an encoder.
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

		Buffer:   DefaultBufferConfig(),
		FailBack: 30 * time.Second,
		HoldFor:  time.Minute,

		ResumeFor: 5 * time.Minute, MaxOutage: time.Hour, ResumePerSecond: 50,

		BackupAfter: time.Second,
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
		FailBackRange.Check("pause before a push returns to its first address", c.FailBack),
		HoldForRange.Check("hold time", c.HoldFor),
		ResumeForRange.Check("time that a push waits for its publisher after a restart", c.ResumeFor),
		MaxOutageRange.Check("longest outage after which pushes go on", c.MaxOutage),
		ResumePerSecondRange.Check("number of resumed pushes per second", c.ResumePerSecond),
		BackupAfterRange.Check("time after which a backup stream is sent", c.BackupAfter),
		MaxDelayRange.Check("delay of a slow push", c.MaxDelay),
		FailedForRange.Check("time that a failed push can be found", c.FailedFor),
		MaxPushesRange.Check("number of pushes", c.MaxPushes),
		c.Buffer.Validate(),
	)...)
}
