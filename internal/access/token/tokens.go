package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"transponder/internal/access"
	"transponder/internal/state"
)

// maxToken is the longest token. It is checked before anything is parsed.
const maxToken = 8 << 10

const (
	lookAtFile = 10 * time.Second // between looks at token_keys_file
	saveEach   = time.Minute      // last uses of keys, and what has expired
	saveLimit  = 2 * time.Second  // for the last save, when the server stops
)

// Parts are the parts of the server that Tokens uses.
type Parts struct {
	Keeper state.Keeper
	Sealer state.Sealer
	Leases *access.Leases
}

// Tokens checks and makes tokens and stored keys. All methods may be called from any goroutine.
type Tokens struct {
	cfg    Config
	parts  Parts
	log    *slog.Logger
	shared state.Shared // the Keeper, if several servers have their keys in common; nil: this server is alone

	buckets buckets

	ring        keyring
	fetcher     *fetcher // nil: no token_jwks_url
	revocations revocations
	used        used
	keys        storedKeys
	counts      counts

	signing sync.Mutex // held while a signer is made, over a write to the state; only the locks of ring and revocations are taken in it
	signer  *signer    // guarded by signing

	reload sync.Mutex
	seen   fileState // guarded by reload; of token_keys_file when it was read last
}

// fileState tells whether a file has changed.
type fileState struct {
	modified time.Time
	size     int64
}

// New reads what the state has of tokens and keys, and the file of keys. It starts nothing: Run fetches keys.
func New(ctx context.Context, cfg Config, parts Parts, log *slog.Logger) (*Tokens, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	t := &Tokens{cfg: cfg, parts: parts, log: log, buckets: newBuckets(parts.Keeper)}
	t.shared, _ = parts.Keeper.(state.Shared)
	t.revocations.live = map[string]Revocation{}
	t.used.ids, t.used.count = map[string]spent{}, map[string]int{}
	t.counts.bad = map[reason]*atomic.Int64{}
	for _, why := range reasons {
		t.counts.bad[why] = &atomic.Int64{}
	}
	t.keys.byHash, t.keys.byID = map[[32]byte]*storedKey{}, map[string]*storedKey{}
	if cfg.Secret != "" {
		t.ring.secret = &verifier{alg: algHS256, value: []byte(cfg.Secret)}
	}
	if cfg.KeysFile != "" {
		if err := t.readFile(); err != nil {
			return nil, err
		}
	}
	if cfg.JWKSURL != "" {
		t.fetcher = newFetcher(cfg.JWKSURL, t.takeRemote, log)
		if err := t.loadRemote(ctx); err != nil {
			log.Warn("the keys for tokens that were fetched before cannot be read", "err", err)
		}
	}
	t.load(ctx)
	parts.Leases.AddCheck(t.stillValid)
	t.followOthers()
	return t, nil
}

// load reads the state. A record that cannot be read is logged and left out. If that is the key that signs, the tokens that this server has
// made are not valid, and a new key is made for the next token.
func (t *Tokens) load(ctx context.Context) {
	keys, err1 := t.buckets.keys.List(ctx, "")
	revoked, err2 := t.buckets.revocations.List(ctx, "")
	spent, err3 := t.buckets.used.List(ctx, "")
	bad := []error{err1, err2, err3}
	for _, r := range keys {
		k, err := r.Value.storedKey()
		if err != nil {
			bad = append(bad, fmt.Errorf("keys/%s: %w", r.Key, err))
			continue
		}
		k.revision = r.Revision
		if err := t.keys.add(k, "", 0); err != nil {
			bad = append(bad, fmt.Errorf("keys/%s: %w", r.Key, err))
		}
	}
	for _, r := range revoked {
		t.revocations.add(r.Value)
	}
	for _, r := range spent {
		t.used.spend(r.Value.ID, r.Value.Owner, r.Value.Expires)
	}
	if err := errors.Join(bad...); err != nil {
		t.log.Error("records of tokens and keys left out", "err", err)
	}
	if err := t.loadSigner(ctx); err != nil {
		t.log.Error("the key that signs tokens cannot be read: tokens that this server has made are not valid", "err", err)
	}
}

// readFile reads token_keys_file.
func (t *Tokens) readFile() error {
	t.reload.Lock()
	defer t.reload.Unlock()
	keys, seen, err := readKeys(t.cfg.KeysFile)
	t.seen = seen // a broken file is reported once
	if err != nil {
		return fmt.Errorf("token_keys_file %s: %w", t.cfg.KeysFile, err)
	}
	t.ring.set(&t.ring.file, keys)
	return nil
}

// maxKeysFile is far more than maxKeys keys need.
const maxKeysFile = 1 << 20

func readKeys(path string) ([]verifier, fileState, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileState{}, err
	}
	seen := fileState{info.ModTime(), info.Size()}
	if seen.size > maxKeysFile {
		return nil, seen, fmt.Errorf("it has more than %d bytes", maxKeysFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, seen, err
	}
	keys, ignored, err := parseJWKS(text, true)
	if err = errors.Join(append(ignored, err)...); err != nil {
		return nil, seen, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && slices.ContainsFunc(keys, func(k verifier) bool { return k.alg == algHS256 }) {
		return nil, seen, fmt.Errorf("it holds a secret and others may read it (mode %04o): chmod 600 it", mode)
	}
	return keys, seen, nil
}

// changed says whether token_keys_file is not as it was when it was read.
func (t *Tokens) changed() bool {
	info, err := os.Stat(t.cfg.KeysFile)
	t.reload.Lock()
	defer t.reload.Unlock()
	if err != nil {
		return t.seen != fileState{}
	}
	return t.seen != fileState{info.ModTime(), info.Size()}
}

// Reload reads token_keys_file again, and has token_jwks_url fetched. If the file cannot be read, the keys stay as they were.
func (t *Tokens) Reload() error {
	if t.fetcher != nil {
		select {
		case t.fetcher.wanted <- struct{}{}:
		default:
		}
	}
	if t.cfg.KeysFile == "" {
		return nil
	}
	return t.readFile()
}

// Run fetches keys, looks at the file of keys, and writes last uses of keys into the state, until ctx ends.
func (t *Tokens) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	if t.fetcher != nil {
		wg.Go(func() { t.fetcher.run(ctx) })
	}
	if t.cfg.KeysFile != "" {
		wg.Go(func() { t.watchFile(ctx) })
	}
	tick := time.NewTicker(saveEach)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			t.saveUses(ctx)
			t.forget(ctx)
			t.saveSpent(ctx)
		case <-ctx.Done():
		}
	}
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveLimit)
	defer cancel()
	t.saveUses(last)
	return context.Cause(ctx)
}

func (t *Tokens) watchFile(ctx context.Context) {
	tick := time.NewTicker(lookAtFile)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !t.changed() {
			continue
		}
		if err := t.readFile(); err != nil {
			t.log.Warn("the keys for tokens stay as they were", "err", err)
		} else {
			t.log.Info("the keys for tokens were read again", "file", t.cfg.KeysFile)
		}
	}
}

// forget removes from the state what no valid token can match any more.
func (t *Tokens) forget(ctx context.Context) {
	var errs []error
	now := time.Now()
	for _, r := range t.revocations.expired(now, t.cfg.MaxLifetime) {
		errs = append(errs, t.buckets.revocations.Delete(ctx, recordKey(r.what()), state.Any))
	}
	for _, id := range t.used.expired(now) {
		errs = append(errs, t.buckets.used.Delete(ctx, recordKey(id), state.Any))
	}
	if err := errors.Join(errs...); err != nil {
		t.log.Warn("old records not removed", "err", err)
	}
}

// stillValid reports whether a principal whose credential was verified before has lost it since then, or somebody who has made it has lost his.
func (t *Tokens) stillValid(p *access.Principal) error {
	if p == nil {
		return nil
	}
	if t.isLost(p) || slices.ContainsFunc(p.Makers, func(m access.Maker) bool { return t.isLost(m.Principal()) }) {
		return access.ErrRevoked
	}
	return nil
}

// isLost says whether a token was revoked, or a key removed.
func (t *Tokens) isLost(p *access.Principal) bool {
	return t.revocations.revoked(p) || p.Kind == access.Key && !t.keys.has(p.ID)
}

// algorithms are what a header may name. The key decides which of them is right.
var algorithms = []string{algES256, algEdDSA, algRS256, algHS256}

// parser checks signatures. It does not look at claims: checkTimes does, with words that a holder understands.
var parser = jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())

// Verify returns who shows a token or a stored key. The error is a *access.BadCredential.
func (t *Tokens) Verify(ctx context.Context, c access.Credential) (*access.Principal, error) {
	switch {
	case strings.HasPrefix(c.Token, access.KeyPrefix):
		return t.verifyKey(c)
	case len(c.Token) > maxToken, strings.Count(c.Token, ".") != 2:
		return nil, t.refuse(whyForm, "")
	}
	content, key, err := t.verifySignature(c.Token)
	if errors.Is(err, errNoKey) && t.fetcher != nil && t.fetcher.ask(ctx) {
		content, key, err = t.verifySignature(c.Token)
	}
	switch {
	case errors.Is(err, errNoKey):
		return nil, t.refuse(whyKey, "")
	case err != nil:
		return nil, t.refuse(whySignature, "")
	}
	p, why, err := t.principal(ctx, content, key, c.Again)
	if err != nil {
		return nil, t.refuse(why, err.Error())
	}
	t.counts.good.Add(1)
	return p, nil
}

func (t *Tokens) verifyKey(c access.Credential) (*access.Principal, error) {
	now := time.Now()
	if len(c.Token) > maxName {
		return nil, t.refuse(whyForm, "")
	}
	p := t.keys.use(c.Token, c.Peer, now)
	switch {
	case p == nil:
		return nil, t.refuse(whyStored, "")
	case t.stillValid(p) != nil:
		return nil, t.refuse(whyRevoked, "a credential with which this key was made is no longer valid")
	case !p.Expires.IsZero() && !now.Before(p.Expires):
		return nil, t.refuse(whyExpired, fmt.Sprintf("this key expired at %s", clock(p.Expires)))
	}
	t.counts.good.Add(1)
	return p, nil
}

// verifySignature returns the content of a token whose signature is right, and the name of the key.
func (t *Tokens) verifySignature(text string) (content unread, key string, err error) {
	_, err = parser.ParseWithClaims(text, &content, func(token *jwt.Token) (any, error) {
		if _, critical := token.Header["crit"]; critical { // RFC 7515, 4.1.11: whoever does not know an extension must refuse it
			return nil, errors.New("the header has crit")
		}
		kid, isText := token.Header["kid"].(string)
		if _, given := token.Header["kid"]; given && !isText || len(kid) > maxKeyID {
			return nil, errors.New("kid is not usable")
		}
		k, err := t.ring.find(token.Method.Alg(), kid)
		key = k.name()
		return k.value, err
	})
	return content, key, err
}

// principal makes the principal of a token whose signature is right. The error is for the holder.
func (t *Tokens) principal(ctx context.Context, content unread, key string, again bool) (_ *access.Principal, why reason, err error) {
	c, own, err := parseClaims(content.raw)
	if err != nil {
		return nil, whyContent, err
	}
	now := time.Now()
	if why, err := c.checkTimes(t.cfg, now); err != nil {
		return nil, why, err
	}
	p := &access.Principal{
		Kind: access.Token, Subject: c.Subject, App: own.App, ID: c.ID, KeyID: key, Issued: c.IssuedAt.Time, Expires: c.Expires.Time, Grants: own.Grants,
		Makers: own.Makers,
	}
	if own.Limits != nil {
		p.Limits = *own.Limits
	}
	switch {
	case own.Until != nil: // says more than the setting
		p.Until = own.Until.Time
	case t.cfg.ExpEnds:
		p.Until = p.Expires
	}
	switch {
	case own.Until != nil && !now.Before(own.Until.Time):
		return nil, whyExpired, fmt.Errorf("the sessions of this token ended %v ago: its until is %s", round(now.Sub(own.Until.Time)), clock(own.Until.Time))
	case t.isLost(p):
		return nil, whyRevoked, errors.New("this token was revoked")
	case t.stillValid(p) != nil:
		return nil, whyRevoked, errors.New("a credential with which this token was made is no longer valid")
	case own.Once && c.ID == "":
		return nil, whyContent, errors.New("a token with once needs a jti")
	case own.Once && !again && !t.spend(ctx, key+" "+c.ID, key+" "+p.Root(), c.Expires.Add(leeway)):
		return nil, whySpent, errors.New("this token may be used once, and was used")
	}
	return p, "", nil
}

func (t *Tokens) refuse(why reason, detail string) error {
	t.counts.bad[why].Add(1)
	return &access.BadCredential{Detail: detail}
}

// reason is why a credential was refused, as the metrics have it.
type reason string

const (
	whyForm      reason = "form"      // it is neither a JWT nor a stored key
	whyKey       reason = "key"       // no key has its kid
	whySignature reason = "signature" // it is not signed with the key that it names
	whyStored    reason = "stored"    // there is no such stored key
	whyContent   reason = "content"
	whyAudience  reason = "audience"
	whyTime      reason = "time" // issued or valid in the future, or for too long
	whyExpired   reason = "expired"
	whyRevoked   reason = "revoked"
	whySpent     reason = "spent"
)

var reasons = []reason{whyForm, whyKey, whySignature, whyStored, whyContent, whyAudience, whyTime, whyExpired, whyRevoked, whySpent}

// counts are of credentials since the start.
type counts struct {
	good atomic.Int64
	bad  map[reason]*atomic.Int64 // set in New
}

// Stats is what Tokens has done and has.
type Stats struct {
	Accepted int64
	Refused  map[string]int64 // by reason

	Keys        int // stored
	Revocations int
	Signers     int  // keys of the file and of the address
	Stale       bool // token_jwks_url cannot be fetched
}

// Stats returns what Tokens has done and has.
func (t *Tokens) Stats() Stats {
	file, remote := t.ring.len()
	s := Stats{Accepted: t.counts.good.Load(), Refused: map[string]int64{}, Signers: file + remote, Stale: t.fetcher != nil && t.fetcher.stale()}
	for why, n := range t.counts.bad {
		s.Refused[string(why)] = n.Load()
	}
	t.keys.mu.Lock()
	s.Keys = len(t.keys.byID)
	t.keys.mu.Unlock()
	t.revocations.mu.RLock()
	s.Revocations = len(t.revocations.live)
	t.revocations.mu.RUnlock()
	return s
}
