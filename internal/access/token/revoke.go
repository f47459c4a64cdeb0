package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"transponder/internal/access"
	"transponder/internal/state"
)

// Revocation makes tokens invalid. One of JTI, Sub and KID is set.
type Revocation struct {
	JTI string `json:"jti,omitempty"` // one token
	Sub string `json:"sub,omitempty"` // all tokens of a subject
	KID string `json:"kid,omitempty"` // all tokens that a key has signed

	Before time.Time `json:"before"` // tokens issued later are valid; zero: now
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`
}

const maxRevocations = 100_000

// what names what is revoked.
func (r Revocation) what() string {
	switch {
	case r.JTI != "":
		return "jti " + r.JTI
	case r.Sub != "":
		return "sub " + r.Sub
	}
	return "kid " + r.KID
}

func (r Revocation) validate() error {
	given := 0
	for _, member := range []struct{ field, value string }{{"jti", r.JTI}, {"sub", r.Sub}, {"kid", r.KID}} {
		if member.value != "" {
			given++
		}
		if len(member.value) > maxName {
			return &RequestError{member.field, fmt.Sprintf("it is longer than %d bytes", maxName)}
		}
	}
	if given != 1 {
		return &RequestError{"jti", "one of jti, sub and kid is needed, and no more"}
	}
	return nil
}

// revocations holds the revocations. All methods may be called from any goroutine.
type revocations struct {
	mu   sync.RWMutex
	live map[string]Revocation // guarded by mu; by what
}

// revoked says whether a principal whose token was verified has lost it.
func (r *revocations) revoked(p *access.Principal) bool {
	if p == nil || p.Kind != access.Token {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.live) == 0 {
		return false
	}
	if _, ok := r.live["jti "+p.ID]; ok && p.ID != "" {
		return true
	}
	return r.before("sub "+p.Subject, p) && p.Subject != "" || r.before("kid "+p.KeyID, p)
}

// before says whether the token was issued before a revocation. The caller holds mu. The time of issue has whole seconds: a token of the
// second in which the revocation came counts as revoked.
func (r *revocations) before(what string, p *access.Principal) bool {
	revoked, ok := r.live[what]
	return ok && !p.Issued.After(revoked.Before)
}

// add keeps a revocation in memory. It returns the one that is in force now: an earlier one may reach further.
func (r *revocations) add(new Revocation) (_ Revocation, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, had := r.live[new.what()]
	if !had && len(r.live) >= maxRevocations {
		return new, false
	}
	if had && old.Before.After(new.Before) {
		new.Before = old.Before
	}
	r.live[new.what()] = new
	return new, true
}

// list returns the revocations, the newest first.
func (r *revocations) list() []Revocation {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]Revocation, 0, len(r.live))
	for _, one := range r.live {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Revocation) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.what(), b.what())) })
	return all
}

// expired removes and returns the revocations that no valid token can match any more.
func (r *revocations) expired(now time.Time, lifetime time.Duration) []Revocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var gone []Revocation
	for what, one := range r.live {
		last := one.At // a token by jti may be issued up to the clock's leeway later
		if one.Before.After(last) {
			last = one.Before
		}
		if now.After(last.Add(lifetime + 2*leeway)) {
			gone = append(gone, one)
			delete(r.live, what)
		}
	}
	return gone
}

// Revoke makes tokens invalid, and ends the sessions of those who have shown them. by is who does it, nil for the server itself.
func (t *Tokens) Revoke(ctx context.Context, by *access.Principal, r Revocation) error {
	if err := r.validate(); err != nil {
		return err
	}
	now := time.Now()
	if r.Before.IsZero() {
		r.Before = now
	}
	if r.Before.After(now.Add(t.cfg.MaxLifetime)) {
		return &RequestError{"before", fmt.Sprintf("it is more than %v ahead", t.cfg.MaxLifetime)}
	}
	r.At = now
	if by != nil {
		r.By = by.String()
	}
	if t.shared != nil { // a token that is revoked here only would go on at other servers
		if _, err := t.buckets.revocations.Put(ctx, recordKey(r.what()), r, state.Any); err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
	}
	r, ok := t.revocations.add(r)
	if !ok {
		return ErrTooMany
	}
	ended := t.parts.Leases.End(func(p *access.Principal) bool { return t.stillValid(p) != nil }, access.ErrRevoked)
	var err error
	// In force already, whatever the disk says: the error tells that it may be forgotten when the server starts again.
	if t.shared == nil {
		_, err = t.buckets.revocations.Put(ctx, recordKey(r.what()), r, state.Any)
	}
	t.log.Info("token revoked", "what", r.what(), "sessions", ended, "by", r.By)
	if err != nil {
		err = fmt.Errorf("the revocation is in force until the server stops, but could not be stored: %w", err)
	}
	return errors.Join(err, t.removeLost(ctx))
}

// Revocations returns the revocations that are in force, the newest first.
func (t *Tokens) Revocations() []Revocation { return t.revocations.list() }
