package token

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"transponder/internal/access"
	"transponder/internal/state"
)

const (
	maxStored = 100_000
	maxOfOne  = 1000 // keys of somebody who is no administrator, with those that were made with them
	maxLabel  = 128  // bytes
)

// Key is a stored key: what is known of it, without the key itself.
type Key struct {
	ID     string
	Label  string
	Owner  string // who answers for it; "": the administrator
	App    string
	Grants []access.Grant
	Stream string // the name that it publishes under, whatever name the client gives; "": the name that the client gives
	Limits access.Limits

	Created  time.Time
	Expires  time.Time  // zero: never
	LastUsed time.Time  // the minute; zero: never
	LastFrom netip.Addr // of the client that used it last

	Makers []access.Maker // who has made it, the first of a chain first; the last of them is the owner, unless that is an administrator here
}

// keyRecord is a key in the state. The key itself is not in it: 130 random bits need no slow hash.
type keyRecord struct {
	ID       string         `json:"id"`
	Hash     string         `json:"hash"` // SHA-256 of the key
	Label    string         `json:"label,omitempty"`
	Owner    string         `json:"owner,omitempty"`
	App      string         `json:"app,omitempty"`
	Grants   []access.Grant `json:"grants"`
	Stream   string         `json:"stream,omitempty"`
	Limits   access.Limits  `json:"limits"`
	Created  time.Time      `json:"created"`
	Expires  time.Time      `json:"expires,omitzero"`
	LastUsed time.Time      `json:"lastUsed,omitzero"`
	LastFrom string         `json:"lastFrom,omitempty"`
	Makers   []access.Maker `json:"makers,omitempty"`
}

// storedKey is a key in memory.
type storedKey struct {
	Key
	hash      [sha256.Size]byte
	principal *access.Principal
	revision  uint64 // in the state; a use that is written after the key was removed must not bring it back
	unsaved   bool   // the last use is not in the state yet
}

func newStoredKey(k Key, hash [sha256.Size]byte) *storedKey {
	return &storedKey{Key: k, hash: hash, principal: &access.Principal{
		Kind: access.Key, Subject: k.Owner, App: k.App, ID: k.ID, Issued: k.Created, Expires: k.Expires, Until: k.Expires,
		Grants: k.Grants, Limits: k.Limits, Stream: k.Stream, Makers: k.Makers,
	}}
}

func (k *storedKey) record() keyRecord {
	r := keyRecord{
		ID: k.ID, Hash: hex.EncodeToString(k.hash[:]), Label: k.Label, Owner: k.Owner, App: k.App, Grants: k.Grants, Stream: k.Stream,
		Limits: k.Limits, Created: k.Created, Expires: k.Expires, LastUsed: k.LastUsed, Makers: k.Makers,
	}
	if k.LastFrom.IsValid() {
		r.LastFrom = k.LastFrom.String()
	}
	return r
}

// storedKey returns the key of a record.
func (r keyRecord) storedKey() (*storedKey, error) {
	k := Key{
		ID: r.ID, Label: r.Label, Owner: r.Owner, App: r.App, Grants: r.Grants, Stream: r.Stream, Limits: r.Limits,
		Created: r.Created, Expires: r.Expires, LastUsed: r.LastUsed, Makers: r.Makers,
	}
	k.LastFrom, _ = netip.ParseAddr(r.LastFrom) // none if it is absent
	var hash [sha256.Size]byte
	b, err := hex.DecodeString(r.Hash)
	if err != nil || len(b) != len(hash) || r.ID == "" {
		return nil, errors.New("it is not a key")
	}
	copy(hash[:], b)
	return newStoredKey(k, hash), access.ValidateGrants(k.Grants)
}

// storedKeys holds the keys. All methods may be called from any goroutine.
type storedKeys struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]*storedKey // guarded by mu
	byID   map[string]*storedKey            // guarded by mu
}

// add adds a key. root has at most that many keys; 0: there is no limit.
func (s *storedKeys) add(k *storedKey, root string, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= maxStored {
		return ErrTooMany
	}
	if most > 0 {
		have := 0
		for _, other := range s.byID {
			if other.principal.Root() == root {
				have++
			}
		}
		if have >= most {
			return ErrTooManyOwn
		}
	}
	s.byHash[k.hash], s.byID[k.ID] = k, k
	return nil
}

// remove removes the key if may allows it.
func (s *storedKeys) remove(id string, may func(Key) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.byID[id]
	if !ok || !may(k.Key) {
		return false
	}
	delete(s.byHash, k.hash)
	delete(s.byID, id)
	return true
}

func (s *storedKeys) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.byID[id]
	return ok
}

// use returns the principal of a key, and notes when and from where it was used; nil if there is no such key.
func (s *storedKeys) use(text string, from netip.Addr, now time.Time) *access.Principal {
	hash := sha256.Sum256([]byte(text))
	minute := now.Truncate(time.Minute)
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.byHash[hash] // whoever measures how long this takes learns about hashes, and nothing about keys
	if !ok {
		return nil
	}
	if expired := !k.Expires.IsZero() && !now.Before(k.Expires); !expired && (!k.LastUsed.Equal(minute) || k.LastFrom != from) {
		k.LastUsed, k.LastFrom, k.unsaved = minute, from, true
	}
	return k.principal
}

// list returns the keys that fit, the oldest first.
func (s *storedKeys) list(fits func(Key) bool) []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Key
	for _, k := range s.byID {
		if fits(k.Key) {
			all = append(all, k.Key)
		}
	}
	slices.SortFunc(all, func(a, b Key) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return all
}

// lastUse is a key with its last use, to be written into the state.
type lastUse struct {
	keyRecord
	revision uint64
}

// written notes the revision that a key has in the state.
func (s *storedKeys) written(id string, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.byID[id]; ok {
		k.revision = max(k.revision, revision) // another server may have written it since
	}
}

// unsaved returns the keys whose last use is not in the state, and marks them as saved.
func (s *storedKeys) unsaved() []lastUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	var uses []lastUse
	for _, k := range s.byID {
		if k.unsaved {
			k.unsaved = false
			uses = append(uses, lastUse{k.record(), k.revision})
		}
	}
	return uses
}

// KeyRequest asks for a stored key.
type KeyRequest struct {
	Label   string
	Grants  []access.Grant
	Stream  string
	Expires time.Time // zero: never
	Limits  access.Limits
	App     string
}

// CreateKey makes a stored key within the grants of by. text is the key itself, which nobody can read later.
func (t *Tokens) CreateKey(ctx context.Context, by *access.Principal, r KeyRequest) (_ Key, text access.Secret, err error) {
	if err := t.mayMake(by, r.Grants, &r.App, &r.Limits); err != nil {
		return Key{}, "", err
	}
	now := time.Now()
	switch {
	case isUnknown(by):
		return Key{}, "", &access.Denied{Action: access.Admin, Detail: "a key outlives the settings that let everybody in: make it on the server itself, or log in"}
	case len(r.Label) > maxLabel, strings.ContainsFunc(r.Label, unicode.IsControl):
		return Key{}, "", &RequestError{"label", fmt.Sprintf("it must have at most %d bytes, and no control characters", maxLabel)}
	case len(r.Stream) > maxName:
		return Key{}, "", &RequestError{"stream", fmt.Sprintf("it is longer than %d bytes", maxName)}
	case !r.Expires.IsZero() && !r.Expires.After(now):
		return Key{}, "", &RequestError{"expiresAt", "it is in the past"}
	}
	if !by.IsAdmin() {
		r.Expires = earliest(r.Expires, by.Expires, by.Until)
	}
	makers, err := access.MakersBy(by)
	if err != nil {
		return Key{}, "", &RequestError{"grants", err.Error()}
	}
	if r.Stream != "" && !canPublish(r.Grants, r.Stream) {
		return Key{}, "", &RequestError{"stream", "no grant of the key allows to publish it"}
	}
	k := Key{
		ID: strings.ToLower(rand.Text()[:12]), Label: r.Label, Owner: subjectOf(by), App: r.App, Grants: r.Grants, Stream: r.Stream, Limits: r.Limits,
		Created: now.Round(0), Expires: r.Expires, Makers: makers,
	}
	text = access.Secret(access.KeyPrefix + strings.ToLower(rand.Text()))
	made := newStoredKey(k, sha256.Sum256([]byte(text)))
	most := maxOfOne
	if by.IsAdmin() {
		most = 0
	}
	if err := t.keys.add(made, by.Root(), most); err != nil {
		return Key{}, "", err
	}
	revision, err := t.buckets.keys.Put(ctx, k.ID, made.record(), 0)
	if err != nil {
		t.keys.remove(k.ID, func(Key) bool { return true })
		return Key{}, "", err
	}
	t.keys.written(k.ID, revision)
	if by != nil && t.stillValid(by) != nil { // whoever took the credential away meanwhile did not see the key
		return Key{}, "", errors.Join(&access.Denied{Action: access.Control, Detail: "the credential that makes the key is no longer valid"}, t.RemoveKey(ctx, access.Whole(access.Local), k.ID))
	}
	t.log.Info("key created", "key", k.ID, "owner", k.Owner, "by", by.String())
	return k, text, nil
}

func canPublish(grants []access.Grant, stream string) bool {
	return access.Decide(&access.Principal{Kind: access.Key, Grants: grants}, access.Publish, access.Object{Stream: stream}) == nil
}

// Keys returns the keys that a principal may see: an administrator all of them, others their own.
func (t *Tokens) Keys(by *access.Principal) []Key { return t.keys.list(mayHave(by)) }

// RemoveKey removes a key that the principal may see, and ends the sessions of those who have shown it. The error is ErrNoKey if there is
// none.
func (t *Tokens) RemoveKey(ctx context.Context, by *access.Principal, id string) error {
	if t.shared != nil { // a key that is gone here only would go on at other servers
		if len(t.keys.list(func(k Key) bool { return k.ID == id && mayHave(by)(k) })) == 0 {
			return ErrNoKey
		}
		if err := t.buckets.keys.Delete(ctx, id, state.Any); err != nil {
			return fmt.Errorf("remove key: %w", err)
		}
	}
	if !t.keys.remove(id, mayHave(by)) && t.shared == nil { // the news of it may have been faster
		return ErrNoKey
	}
	var err error
	if t.shared == nil {
		err = t.buckets.keys.Delete(ctx, id, state.Any)
	}
	if err != nil {
		err = fmt.Errorf("the key is not valid until the server stops, but could not be removed from the state: %w", err)
	}
	// The key is gone, so that all that was made with it is lost, too: see stillValid.
	ended := t.parts.Leases.End(func(p *access.Principal) bool { return t.stillValid(p) != nil }, access.ErrRevoked)
	t.log.Info("key removed", "key", id, "sessions", ended, "by", by.String())
	return errors.Join(err, t.removeLost(ctx))
}

// removeLost removes the keys of whose makers one has lost his credential. They have no rights of their own.
func (t *Tokens) removeLost(ctx context.Context) error {
	var errs []error
	for _, k := range t.keys.list(func(k Key) bool { return len(k.Makers) > 0 }) { // isLost takes the lock of the keys
		if slices.ContainsFunc(k.Makers, func(m access.Maker) bool { return t.isLost(m.Principal()) }) {
			errs = append(errs, t.RemoveKey(ctx, access.Whole(access.Local), k.ID))
		}
	}
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, ErrNoKey) })...)
}

// removeKeys removes the keys that fit, and those that were made with them. A key is never made with itself: the chain ends.
func (t *Tokens) removeKeys(ctx context.Context, fits func(Key) bool) error {
	var errs []error
	for _, k := range t.keys.list(fits) {
		if err := t.RemoveKey(ctx, access.Whole(access.Local), k.ID); err != nil && !errors.Is(err, ErrNoKey) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// RemoveKeysOf removes all keys of an owner, and revokes the tokens that he has made. owner is as in Key.
func (t *Tokens) RemoveKeysOf(ctx context.Context, owner string) error {
	if owner == "" {
		return nil
	}
	return errors.Join(t.removeKeys(ctx, func(k Key) bool { return k.Owner == owner }), t.Revoke(ctx, nil, Revocation{Sub: owner}))
}

// mayHave returns which keys a principal may see and remove.
func mayHave(by *access.Principal) func(Key) bool {
	admin, own := by.IsAdmin(), subjectOf(by)
	if admin {
		return func(Key) bool { return true }
	}
	// Two applications may have people of the same name.
	return func(k Key) bool { return own != "" && k.Owner == own && k.App == by.App }
}

// saveUses writes the last uses of keys into the state.
func (t *Tokens) saveUses(ctx context.Context) {
	if t.shared != nil && t.shared.Writable() != nil {
		return // later
	}
	var first error
	failed := 0
	for _, use := range t.keys.unsaved() {
		revision, err := t.buckets.keys.Put(ctx, use.ID, use.keyRecord, use.revision)
		switch {
		case err == nil:
			t.keys.written(use.ID, revision)
		case t.shared != nil && errors.Is(err, state.ErrConflict): // it was used at another server, too
		case t.keys.has(use.ID): // otherwise it was removed meanwhile
			first, failed = cmp.Or(first, err), failed+1
		}
	}
	if failed > 0 {
		t.log.Warn("last use of keys not stored", "keys", failed, "err", first)
	}
}
