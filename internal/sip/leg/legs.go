package leg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtc"
	"transponder/internal/stream"
)

// beat is how often the ticker looks for what is due. So a packet of sound leaves at most 10 ms late.
const beat = 10 * time.Millisecond

// Parts are the parts of the server that the media of calls works with.
type Parts struct {
	// Allowed is the policy for addresses of phones; nil: all are allowed. host is the name or address in the SDP. Addresses that are no single
	// host, and media ports of ours, are refused in any case.
	Allowed func(host string, to netip.AddrPort) error
	// Resolve finds the address of a host that an SDP names; nil: net.DefaultResolver does.
	Resolve func(ctx context.Context, host string) (netip.Addr, error)
	// Transcode makes sound and pictures in the phone's codec; nil: nothing is transcoded.
	Transcode rtc.TranscodeFunc
}

// Legs has what the media of all calls shares. All methods may be called from any goroutine.
type Legs struct {
	cfg    Config
	parts  Parts
	log    *slog.Logger
	ports  *ports
	clock  func() time.Duration // of all legs
	panics panics.Counter

	mu     sync.Mutex
	legs   []*Leg        // guarded by mu: those that run
	filled chan struct{} // guarded by mu; closed when the first leg runs
}

// New makes the media of calls for a valid configuration. It opens no port.
func New(cfg Config, parts Parts, log *slog.Logger) *Legs {
	if parts.Resolve == nil {
		parts.Resolve = resolve
	}
	if parts.Transcode == nil {
		parts.Transcode = func(*stream.Source, media.Codec) (*stream.Feed, func(), error) {
			return nil, nil, errors.ErrUnsupported
		}
	}
	opened := time.Now()
	return &Legs{
		cfg: cfg, parts: parts, log: log, ports: newPorts(cfg.PortFrom, cfg.PortTo), filled: make(chan struct{}),
		clock: func() time.Duration { return time.Since(opened) },
	}
}

// resolve asks DNS. Phones rarely have IPv6, so IPv4 comes first.
func resolve(ctx context.Context, host string) (netip.Addr, error) {
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(list) == 0 {
		return netip.Addr{}, fmt.Errorf("%s has no address", host)
	}
	for i, a := range list {
		if list[i] = a.Unmap(); list[i].Is4() {
			return list[i], nil
		}
	}
	return list[0], nil
}

// Room returns how many more calls with sound and picture find ports.
func (s *Legs) Room() int { return s.ports.left() / 2 }

// Panics returns how many calls have ended because of a panic.
func (s *Legs) Panics() int64 { return s.panics.Load() }

// Run sends what is due in all legs, until ctx ends, and returns the cause. Without it only pictures are sent, and nothing times out. The owner
// must not end it before the last Leg.Run has returned: the legs use its buffers.
func (s *Legs) Run(ctx context.Context) error {
	defer s.ports.batches.Close()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	var legs []*Leg
	for {
		var filled <-chan struct{}
		legs, filled = s.running(legs[:0])
		if len(legs) == 0 { // a server without calls sleeps
			select {
			case <-filled:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		now := s.clock()
		for _, l := range legs {
			l.beat(now)
		}
		clear(legs)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// running appends the legs that run, and returns the channel that is closed when there is one.
func (s *Legs) running(list []*Leg) ([]*Leg, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(list, s.legs...), s.filled
}

func (s *Legs) add(l *Leg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.legs = append(s.legs, l)
	if len(s.legs) == 1 {
		close(s.filled)
	}
}

func (s *Legs) remove(l *Leg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.legs = slices.DeleteFunc(s.legs, func(x *Leg) bool { return x == l })
	if len(s.legs) == 0 {
		s.filled = make(chan struct{})
	}
}
