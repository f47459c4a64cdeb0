package access

import (
	"errors"
	"sync"
	"time"
)

var (
	// ErrExpired is why a session ended whose principal had a time limit (until).
	ErrExpired = errors.New("access_expired: the time of the credential is over")
	// ErrRevoked is why a session ended whose principal lost his rights.
	ErrRevoked = errors.New("access_revoked: the credential is no longer valid")
)

// Lease is the right of one session to go on. Each door holds one for each session, and ends the session when Done is closed.
type Lease struct {
	principal *Principal
	done      chan struct{}
	release   func()

	once sync.Once
	err  error // set before done is closed
}

// Principal returns whose lease it is.
func (l *Lease) Principal() *Principal { return l.principal }

// Done is closed when the session must end. A nil Lease never ends.
func (l *Lease) Done() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.done
}

// Err returns why the session must end, after Done is closed: ErrExpired or ErrRevoked.
func (l *Lease) Err() error {
	select {
	case <-l.done:
		return l.err
	default:
		return nil
	}
}

// Release ends the watch. The session calls it at its end.
func (l *Lease) Release() {
	if l != nil {
		l.release()
	}
}

func (l *Lease) end(cause error) {
	l.once.Do(func() {
		l.err = cause
		close(l.done)
	})
}

// Leases holds the leases of all sessions. All methods may be called from any goroutine.
type Leases struct {
	mu     sync.Mutex
	live   map[*Lease]struct{}      // guarded by mu
	checks []func(*Principal) error // guarded by mu
}

// NewLeases returns Leases without leases.
func NewLeases() *Leases { return &Leases{live: map[*Lease]struct{}{}} }

// AddCheck adds a check that Hold asks. A check returns an error if the principal has lost the right to go on since the credential was
// verified; the lease then ends at once, with that error.
func (s *Leases) AddCheck(check func(*Principal) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks = append(s.checks, check)
}

// Len returns how many leases there are.
func (s *Leases) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

// Hold makes a lease for a session of a principal.
func (s *Leases) Hold(p *Principal) *Lease {
	l := &Lease{principal: p, done: make(chan struct{})}
	var timer *time.Timer
	if p != nil && !p.Until.IsZero() {
		timer = time.AfterFunc(time.Until(p.Until), func() { l.end(ErrExpired) })
	}
	l.release = sync.OnceFunc(func() {
		if timer != nil {
			timer.Stop()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.live, l)
	})
	s.mu.Lock()
	s.live[l] = struct{}{}
	checks := s.checks
	s.mu.Unlock()
	// After the lease is in the list: whoever revokes the credential now finds it there, and whoever did so before is seen by a check.
	for _, check := range checks {
		if err := check(p); err != nil {
			l.end(err)
			break
		}
	}
	return l
}

// End ends the leases of all principals that lost their rights, and returns how many.
func (s *Leases) End(lost func(*Principal) bool, cause error) int {
	s.mu.Lock()
	var ending []*Lease
	for l := range s.live {
		if lost(l.principal) {
			ending = append(ending, l)
		}
	}
	s.mu.Unlock()
	for _, l := range ending {
		l.end(cause)
	}
	return len(ending)
}
