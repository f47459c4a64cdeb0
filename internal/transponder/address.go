package transponder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"transponder/internal/limits"
)

// maxBackups is how many addresses options.backupUrls may hold.
const maxBackups = 4

// FailBackRange bounds Config.FailBack.
var FailBackRange = limits.Of(time.Second, time.Hour)

// address is one of the addresses of a push: that of the request, or one of options.backupUrls. Any goroutine may call its methods.
type address struct {
	url    string // as in the request
	target pushTarget

	mu       sync.Mutex
	resolved []netip.Addr // guarded by mu; of the server when the push was requested, for the first connection; then nil
	accepted bool         // guarded by mu; the server has taken the stream
	attempts int          // guarded by mu; connections, also failed ones
	trouble  pushStatus   // guarded by mu; why the last connection failed or ended; the zero value: none has
	sent     int64        // guarded by mu; bytes of the connections that are over
	acked    int64        // guarded by mu
}

// take returns the addresses that the server had when the push was requested, the first time. A later attempt resolves the name again: the
// server may have moved.
func (a *address) take() []netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	addrs := a.resolved
	a.resolved = nil
	return addrs
}

// tried counts a connection.
func (a *address) tried() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.attempts++
}

// accept notes that the server has taken the stream.
func (a *address) accept() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.accepted, a.trouble = true, pushStatus{}
}

// hasAccepted reports whether the server has ever taken the stream.
func (a *address) hasAccepted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accepted
}

// fail notes why a connection failed or ended.
func (a *address) fail(reason Reason, detail string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trouble = pushStatus{Reason: reason, Detail: detail, Since: time.Now()}
}

// count adds the bytes of a connection that is over.
func (a *address) count(sent, acked int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent += sent
	a.acked += acked
}

// matches reports whether a URL is that of the address. It may be written differently from the URL of the request.
func (a *address) matches(url string) bool {
	if url == a.url {
		return true
	}
	if a.target.Destination != "" { // what the name stands for is not to be guessed at
		return false
	}
	other, err := parseTarget(url, "", naming{})
	own, _ := parseTarget(a.target.URL(), "", naming{})
	return err == nil && other.key() == own.key()
}

// AddressInfo describes one of several addresses of a push.
type AddressInfo struct {
	URL         string // as in the request, with its secrets
	Target      string // without secrets
	Destination string // the name of the destination, if the URL is destination://NAME

	InUse    bool      // the stream goes there now, or a connection to there is being made
	State    State     // of the push there; only if InUse
	Reason   Reason    // why the last connection failed or ended; ReasonNone: none has since the server last took the stream
	Detail   string    // in words, without secrets
	FailedAt time.Time // when it failed; zero with ReasonNone
	Attempts int       // connections, also failed ones

	BytesSent, BytesAcked int64
}

// Up reports whether the address takes the stream.
func (a AddressInfo) Up() bool { return a.InUse && a.State.up() }

// info describes the address. The caller adds what it knows of the present connection.
func (a *address) info() AddressInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	return AddressInfo{
		URL: a.url, Target: a.target.String(), Destination: a.target.Destination,
		Reason: a.trouble.Reason, Detail: a.trouble.Detail, FailedAt: a.trouble.Since, Attempts: a.attempts,
		BytesSent: a.sent, BytesAcked: a.acked,
	}
}

// present returns the address to which the stream goes, or went last.
func (p *push) present() *address { return p.addresses[p.at.Load()] }

// addressInfos describes the addresses, nil if there is one only. sent and acked are the bytes of the present connection. The caller holds p.mu.
func (p *push) addressInfos(status pushStatus, sent, acked int64) []AddressInfo {
	if len(p.addresses) == 1 {
		return nil
	}
	infos := make([]AddressInfo, len(p.addresses))
	for i, a := range p.addresses {
		infos[i] = a.info()
		if i != int(p.at.Load()) || status.State.final() {
			continue
		}
		infos[i].InUse, infos[i].State = true, status.State
		if p.link != nil && p.link.address == i {
			infos[i].BytesSent += sent
			infos[i].BytesAcked += acked
		}
	}
	return infos
}

// number returns the number of the present address in events: from 1, 0 if the push has one address only.
func (p *push) number() int {
	if len(p.addresses) == 1 {
		return 0
	}
	return int(p.at.Load()) + 1
}

// locateAll resolves the servers of all addresses. It fails if the rules of this server forbid one of them, and if no server can be
// resolved. A server that cannot be resolved now is no error if another one can: it may be tried later.
func (r *Registry) locateAll(ctx context.Context, streamName string, all []*address) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, a := range all {
		wg.Go(func() { a.resolved, errs[i] = r.cfg.locate(ctx, a.target) })
	}
	wg.Wait()
	failed := 0
	for i, err := range errs {
		if err == nil {
			continue
		}
		failed++
		if refusal := r.refuse(streamName, all[i].target, err); isForbidden(err) || failed == len(all) {
			return inField(i, refusal)
		}
	}
	return nil
}

// inField makes an error about rtmpUrl one about the address with that index.
func inField(i int, err error) error {
	if refused, ok := err.(*RequestError); ok && i > 0 && refused.Field == "rtmpUrl" {
		return &RequestError{backupField(i), refused.Reason}
	}
	return err
}

func backupField(i int) string { return fmt.Sprintf("options.backupUrls[%d]", i-1) }

// validateBackups reports the first fault of the options about backup addresses. It does not parse the addresses.
func (o Options) validateBackups() error {
	switch {
	case len(o.BackupURLs) > maxBackups:
		return &RequestError{"options.backupUrls", fmt.Sprintf("it may hold at most %d addresses", maxBackups)}
	case slices.Contains(o.BackupURLs, ""):
		return &RequestError{"options.backupUrls", "it holds an empty address"}
	case o.FailBack != nil && len(o.BackupURLs) == 0:
		return &RequestError{"options.failBack", "it has a meaning with backupUrls only"}
	case o.Simultaneous && len(o.BackupURLs) == 0:
		return &RequestError{"options.simultaneous", "it has a meaning with backupUrls only"}
	case o.Simultaneous && slices.Contains(o.Codecs, "opus"):
		return &RequestError{"options.simultaneous", `it cannot be combined with "opus" in codecs: all addresses get the same sound`}
	}
	return nil
}

// failsBack reports whether the push returns to an address that is well again.
func (o Options) failsBack() bool { return o.FailBack == nil || *o.FailBack }

// round is the order in which a push tries its addresses before it pauses. It has no clock.
type round struct {
	count int
	order []int // still to be tried
	worst trial // the failure of the round by which the retry policy decides
	begun bool  // worst is set
}

// trial is an attempt at an address that has failed.
type trial struct {
	loss

	address int
	detail  string
	err     error
}

// newRound begins with the first address. lost is the address whose connection was just lost after it had stood for long: it is tried last,
// after the others; -1: there is none.
func newRound(count, lost int) *round {
	r := &round{count: count}
	for i := range count {
		if i != lost {
			r.order = append(r.order, i)
		}
	}
	if lost >= 0 {
		r.order = append(r.order, lost)
	}
	return r
}

// beginAt makes an address the first one to be tried.
func (r *round) beginAt(first int) {
	i := slices.Index(r.order, first)
	copy(r.order[1:], r.order[:i])
	r.order[0] = first
}

// next returns the address to try now.
func (r *round) next() int {
	next := r.order[0]
	r.order = r.order[1:]
	return next
}

// left returns how many other addresses can be tried at once.
func (r *round) left() int { return len(r.order) }

// failed notes a failure. The retry policy decides by the failure that leaves most hope, and among those by the first address: that is the
// one to which the stream is to go.
func (r *round) failed(t trial) {
	better := cmp.Compare(hope(t.loss), hope(r.worst.loss))
	if !r.begun || better > 0 || better == 0 && t.address < r.worst.address {
		t.healthy = max(t.healthy, r.worst.healthy)
		r.worst, r.begun = t, true
		return
	}
	r.worst.healthy = max(t.healthy, r.worst.healthy)
}

func hope(l loss) int {
	if l.retriable() {
		return 1
	}
	return 0
}

// elsewhere reports whether another address may work after a failure with that reason. After all other failures the cause is not at the
// address.
func elsewhere(reason Reason) bool {
	switch reason {
	case ReasonTranscoder, ReasonTooSlow, ReasonNoCapacity, ReasonRestarted, ReasonNodeLost, ReasonMoved:
		return false
	case ReasonForbidden, ReasonTLSVerify:
		return true
	}
	return reason.Class() == Transient || slices.Contains(refusals, reason)
}

// isForbidden reports whether the rules of this server forbid a target.
func isForbidden(err error) bool {
	var forbidden *targetError
	return errors.As(err, &forbidden)
}
