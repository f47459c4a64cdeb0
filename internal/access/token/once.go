package token

import (
	"context"
	"sync"
	"time"

	"transponder/internal/state"
)

// maxUsed bounds how many used tokens are remembered.
const maxUsed = 100_000

// usedRecord is a token that was used, as the state has it.
type usedRecord struct {
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
}

// used remembers the tokens that may be used once, and were, until they expire. All methods may be called from any goroutine.
type used struct {
	mu  sync.Mutex
	ids map[string]time.Time // guarded by mu; until when
}

// spend marks a token as used. It returns false if the token was used before, or if too many used tokens are remembered: then no token is
// taken that may be used once, because nobody would know that it was used.
func (u *used) spend(id string, until time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.ids[id]; ok {
		return false
	}
	if len(u.ids) >= maxUsed {
		return false
	}
	u.ids[id] = until
	return true
}

// expired forgets the tokens that have expired, and returns them.
func (u *used) expired(now time.Time) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var gone []string
	for id, until := range u.ids {
		if now.After(until) {
			gone = append(gone, id)
			delete(u.ids, id)
		}
	}
	return gone
}

// spend marks a token as used, here and in the state.
func (t *Tokens) spend(ctx context.Context, id string, until time.Time) bool {
	if !t.used.spend(id, until) {
		return false
	}
	if _, err := t.buckets.used.Put(ctx, recordKey(id), usedRecord{id, until}, state.Any); err != nil {
		// A full disk ends no show: this process remembers the token, and only after a restart it could be used again.
		t.log.Warn("used token not stored", "err", err)
	}
	return true
}
