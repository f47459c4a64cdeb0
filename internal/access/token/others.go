package token

import (
	"context"
	"errors"

	"transponder/internal/access"
	"transponder/internal/state"
)

// followOthers takes over what other servers change, if several have their keys and tokens in common.
func (t *Tokens) followOthers() {
	if t.shared == nil {
		return
	}
	t.shared.Follow("keys", func(ctx context.Context, ids []string) {
		for _, id := range ids {
			t.takeKey(ctx, id)
		}
		t.endLost()
	})
	t.shared.Follow("revocations", func(ctx context.Context, keys []string) {
		for _, key := range keys {
			// One that was removed has expired, and expires here, too.
			if r, err := t.buckets.revocations.Get(ctx, key); err == nil {
				if _, ok := t.revocations.add(r.Value); !ok {
					t.log.Error("a revocation of another server has no room here", "what", r.Value.what())
				}
			} else if !errors.Is(err, state.ErrNotFound) {
				t.log.Error("a revocation of another server cannot be read", "err", err)
			}
		}
		t.endLost()
	})
	t.shared.Follow("used", func(ctx context.Context, keys []string) {
		for _, key := range keys {
			if r, err := t.buckets.used.Get(ctx, key); err == nil {
				t.used.spend(r.Value.ID, r.Value.Owner, r.Value.Expires)
			}
		}
	})
	t.shared.Follow("signing", func(ctx context.Context, _ []string) {
		t.signing.Lock()
		defer t.signing.Unlock()
		if err := t.loadSigner(ctx); err != nil {
			t.log.Error("the key that signs the tokens of the cluster cannot be read", "err", err)
		}
	})
}

// endLost ends what was begun with credentials that are no longer valid.
func (t *Tokens) endLost() {
	if n := t.parts.Leases.End(func(p *access.Principal) bool { return t.stillValid(p) != nil }, access.ErrRevoked); n > 0 {
		t.log.Info("tokens or keys were taken away at another server", "sessions", n)
	}
}

// takeKey takes over a key as it is now.
func (t *Tokens) takeKey(ctx context.Context, id string) {
	item, err := t.buckets.keys.Get(ctx, id)
	switch {
	case errors.Is(err, state.ErrNotFound):
		t.keys.remove(id, func(k Key) bool { return true })
		return
	case err != nil:
		t.log.Error("a key that another server has changed cannot be read", "key", id, "err", err)
		return
	}
	k, err := item.Value.storedKey()
	if err != nil {
		t.log.Error("a key that another server has made cannot be used", "key", id, "err", err)
		return
	}
	k.revision = item.Revision
	if err := t.keys.take(k); err != nil {
		t.log.Error("a key that another server has made has no room here", "key", id, "err", err)
	}
}

// take takes over a key of the state. A use that the state does not know yet stays.
func (s *storedKeys) take(k *storedKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, had := s.byID[k.ID]
	switch {
	case !had && len(s.byID) >= maxStored:
		return ErrTooMany
	case had && old.revision == k.revision:
		return nil
	case had:
		delete(s.byHash, old.hash)
		if old.unsaved && old.LastUsed.After(k.LastUsed) {
			k.LastUsed, k.LastFrom, k.unsaved = old.LastUsed, old.LastFrom, true
		}
	}
	s.byHash[k.hash], s.byID[k.ID] = k, k
	return nil
}
