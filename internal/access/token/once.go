package token

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"transponder/internal/state"
)

// maxUsed bounds how many used tokens are remembered, and maxUsedOfOne how many of one owner. An owner is a signing key with a subject, or with
// whoever stands at the beginning of the chain of those who have made the token.
const (
	maxUsed      = 100_000
	maxUsedOfOne = 10_000
)

// usedRecord is a token that was used, as the state has it.
type usedRecord struct {
	ID      string    `json:"id"`
	Owner   string    `json:"owner,omitempty"`
	Expires time.Time `json:"expires"`
	Use     string    `json:"use,omitempty"` // tells two uses at two servers apart
}

// used remembers the tokens that may be used once, and were, until they expire. All methods may be called from any goroutine.
type used struct {
	mu    sync.Mutex
	ids   map[string]spent // guarded by mu
	count map[string]int   // guarded by mu; by owner

	untold []usedRecord // guarded by mu; that the other servers do not know yet
}

// spent is a token that was used.
type spent struct {
	owner string
	until time.Time
}

// spend marks a token as used. It returns false if the token was used before, or if too many used tokens are remembered, of all owners or of
// this one: then no token is taken that may be used once, because nobody would know that it was used.
func (u *used) spend(id, owner string, until time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.ids[id]; ok {
		return false
	}
	if len(u.ids) >= maxUsed || u.count[owner] >= maxUsedOfOne {
		return false
	}
	u.ids[id] = spent{owner, until}
	u.count[owner]++
	return true
}

// expired forgets the tokens that have expired, and returns them.
func (u *used) expired(now time.Time) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var gone []string
	for id, s := range u.ids {
		if !now.After(s.until) {
			continue
		}
		gone = append(gone, id)
		delete(u.ids, id)
		if u.count[s.owner]--; u.count[s.owner] == 0 {
			delete(u.count, s.owner)
		}
	}
	return gone
}

// spend marks a token as used, here and in the state. Of servers that have their tokens in common one succeeds, unless they cannot reach each
// other: a publisher gets in all the same.
func (t *Tokens) spend(ctx context.Context, id, owner string, until time.Time) bool {
	r := usedRecord{ID: id, Owner: owner, Expires: until}
	expect := uint64(state.Any)
	if t.shared != nil {
		r.Use, expect = rand.Text(), 0
	}
	if !t.used.spend(id, owner, until) {
		return false
	}
	_, err := t.buckets.used.Put(ctx, recordKey(id), r, expect)
	switch {
	case err == nil:
	case errors.Is(err, state.ErrConflict):
		return false // it was used at another server
	default:
		// A full disk ends no show: this process remembers the token, and only after a restart it could be used again.
		t.log.Warn("used token not stored", "err", err)
		if t.shared != nil {
			t.used.owe(r)
		}
	}
	return true
}

// owe notes that the other servers do not know that a token was used. There are no more of these than used tokens.
func (u *used) owe(r usedRecord) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.untold = append(u.untold, r)
}

// saveSpent tells the other servers of tokens that were used while nobody could be told.
func (t *Tokens) saveSpent(ctx context.Context) {
	if t.shared == nil || t.shared.Writable() != nil {
		return
	}
	t.used.mu.Lock()
	untold := t.used.untold
	t.used.untold = nil
	t.used.mu.Unlock()
	for _, r := range untold {
		if !time.Now().Before(r.Expires) {
			continue
		}
		if _, err := t.buckets.used.Put(ctx, recordKey(r.ID), r, 0); errors.Is(err, state.ErrAway) {
			t.used.owe(r)
		}
	}
}
