package people

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/state"
)

// SessionTime is how long a session lasts at most.
const SessionTime = 7 * 24 * time.Hour

const (
	sessionIdle  = 12 * time.Hour  // a session that nobody uses for this long ends
	maxOfUser    = 10              // sessions of one user; the one that was used last longest ago makes room
	seenTime     = 5 * time.Minute // how exactly the state knows when a session was used last
	maxUserAgent = 200
)

// ErrNoSession means that there is no such session.
var ErrNoSession = errors.New("no such session")

// Session describes the session of a page.
type Session struct {
	ID                string // for lists; it does not open the session
	User              string
	Role              access.Role
	Address           string // of the client that logged in
	UserAgent         string // of the browser that logged in
	Created, LastSeen time.Time
	Expires           time.Time // if it is used until then
}

// session is a session of a page.
type session struct {
	key       string // hash of the secret, in hex
	user      string
	stamp     string // of the password; the session is over when the user gets another one
	created   time.Time
	address   string
	userAgent string

	seen     time.Time // guarded by People.mu
	saved    time.Time // guarded by People.mu; seen as the state has it; zero: the state does not have the session
	revision uint64    // guarded by People.mu; in the state
}

// id names the session in lists.
func (s *session) id() string { return s.key[:16] }

// isOver says whether the session has ended by itself.
func (s *session) isOver(now time.Time) bool {
	return now.Sub(s.seen) > sessionIdle || !now.Before(s.created.Add(SessionTime))
}

func (s *session) record() sessionRecord {
	return sessionRecord{
		User: s.user, Stamp: s.stamp, Created: s.created.UnixMilli(), LastSeen: s.seen.UnixMilli(), Address: s.address, UserAgent: s.userAgent,
	}
}

// stamp returns a value that changes with the password of the user.
func (u *user) stamp() string {
	sum := sha256.Sum256(u.hash)
	return hex.EncodeToString(sum[:8])
}

func keyOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Start begins a session for whoever has the name and the password of the credential. secret opens the session; only its holder knows it.
func (p *People) Start(ctx context.Context, c access.Credential, userAgent string) (secret string, _ *access.Principal, _ error) {
	u, _, err := p.check(ctx, c)
	if err != nil {
		return "", nil, err
	}
	p.record(c, u, audit.Line{Do: "login", OK: true})
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	secret = base64.RawURLEncoding.EncodeToString(random[:])
	now := time.Now()
	s := &session{key: keyOf(secret), user: u.name, stamp: u.stamp(), created: now, address: c.Peer.String(), userAgent: short(userAgent), seen: now, saved: now}
	if s.revision, err = p.open.Put(ctx, s.key, s.record(), state.Any); err != nil {
		if p.shared != nil {
			p.log.Warn("the other servers learn later that somebody has logged in", "err", err)
			s.saved = time.Time{} // written when the others can be reached
		} else {
			// A full disk must not keep people out who could make room on it. The session ends with the server.
			p.log.Warn("a session will not outlive the server", "err", err)
		}
	}
	p.mu.Lock()
	p.sessions[s.key] = s
	surplus := p.surplus(u.name)
	p.mu.Unlock()
	p.endSessions(ctx, func(s *session) bool { return slices.Contains(surplus, s) })
	return secret, p.principalOf(u, s), nil
}

// short cuts the name of a browser.
func short(s string) string {
	if len(s) > maxUserAgent {
		return s[:maxUserAgent]
	}
	return s
}

// surplus returns the sessions that a user has too many. The caller holds mu.
func (p *People) surplus(name string) []*session {
	var all []*session
	for _, s := range p.sessions {
		if s.user == name {
			all = append(all, s)
		}
	}
	if len(all) <= maxOfUser {
		return nil
	}
	slices.SortFunc(all, func(a, b *session) int { return a.seen.Compare(b.seen) })
	return all[:len(all)-maxOfUser]
}

func (p *People) principalOf(u *user, s *session) *access.Principal {
	who := u.principal(s.id())
	who.Issued, who.Until = s.created, s.created.Add(SessionTime)
	return who
}

// Session returns the principal whose session a credential opens.
func (p *People) Session(ctx context.Context, c access.Credential) (*access.Principal, error) {
	now := time.Now()
	p.mu.Lock()
	s := p.sessions[keyOf(c.Session)]
	if s == nil || s.isOver(now) {
		p.mu.Unlock()
		return nil, &access.BadCredential{}
	}
	u := p.lookup(s.user)
	if u == nil || u.stamp() != s.stamp {
		p.mu.Unlock()
		return nil, &access.BadCredential{}
	}
	s.seen = now
	save := now.Sub(s.saved) >= seenTime
	if save {
		s.saved = now
	}
	r, revision := s.record(), s.revision
	p.mu.Unlock()
	if save {
		p.saveUse(ctx, s, r, revision)
	}
	return p.principalOf(u, s), nil
}

// saveUse writes that a session is used. If another server has changed or ended it meanwhile, that stands.
func (p *People) saveUse(ctx context.Context, s *session, r sessionRecord, revision uint64) {
	if p.shared == nil {
		revision = state.Any
	}
	revision, err := p.open.Put(ctx, s.key, r, revision)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		s.revision = max(s.revision, revision)
	case p.shared == nil:
		p.log.Warn("the state does not know that a session is used", "err", err)
	case errors.Is(err, state.ErrAway) && s.revision == 0:
		s.saved = time.Time{} // the others do not have it yet
	}
}

// Describe returns the session of a principal, ErrNoSession if he has none.
func (p *People) Describe(who *access.Principal) (Session, error) {
	for _, s := range p.Sessions() {
		if who != nil && who.Kind == access.User && who.ID == s.ID {
			return s, nil
		}
	}
	return Session{}, ErrNoSession
}

// Sessions returns all sessions, the newest first.
func (p *People) Sessions() []Session {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Session
	for _, s := range p.sessions {
		u := p.lookup(s.user)
		if u == nil || u.stamp() != s.stamp || s.isOver(now) {
			continue
		}
		expires := s.created.Add(SessionTime)
		if idle := s.seen.Add(sessionIdle); idle.Before(expires) {
			expires = idle
		}
		list = append(list, Session{
			ID: s.id(), User: s.user, Role: u.role, Address: s.address, UserAgent: s.userAgent, Created: s.created, LastSeen: s.seen, Expires: expires,
		})
	}
	slices.SortFunc(list, func(a, b Session) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	return list
}

// End ends the session that a credential opens: its owner logs out.
func (p *People) End(ctx context.Context, c access.Credential) error {
	key := keyOf(c.Session)
	return p.endOne(ctx, c, func(s *session) bool { return s.key == key })
}

// Terminate ends the session that has an id. It fails with ErrNoSession, and with
// state.ErrAway if the session would go on at other servers.
func (p *People) Terminate(ctx context.Context, id string) error {
	if p.shared != nil {
		if err := p.shared.Writable(); err != nil {
			return err
		}
	}
	if !p.endSessions(ctx, func(s *session) bool { return s.id() == id }) {
		return ErrNoSession
	}
	return nil
}

func (p *People) endOne(ctx context.Context, c access.Credential, which func(*session) bool) error {
	var u *user
	if !p.endSessions(ctx, func(s *session) bool {
		if !which(s) {
			return false
		}
		u = p.lookup(s.user)
		return true
	}) {
		return ErrNoSession
	}
	p.record(c, u, audit.Line{Do: "logout", OK: true})
	return nil
}

// endSessions ends sessions, and what was begun with them. It says whether there was one. which is called with mu held.
func (p *People) endSessions(ctx context.Context, which func(*session) bool) bool {
	var ended []string
	p.mu.Lock()
	for key, s := range p.sessions {
		if which(s) {
			delete(p.sessions, key)
			ended = append(ended, key)
		}
	}
	p.mu.Unlock()
	if len(ended) == 0 {
		return false
	}
	for _, key := range ended {
		err := p.open.Delete(ctx, key, state.Any)
		switch {
		case err == nil:
		case p.shared != nil:
			p.owe(key)
		default:
			p.log.Error("an ended session may come back when the server starts again", "err", err)
		}
	}
	p.endLeases(ended)
	return true
}

// endLeases ends what was begun with sessions that have ended.
func (p *People) endLeases(ended []string) {
	if p.parts.Leases == nil {
		return
	}
	p.parts.Leases.End(func(who *access.Principal) bool {
		return who != nil && who.Kind == access.User && who.ID != "" && slices.ContainsFunc(ended, func(key string) bool { return key[:len(who.ID)] == who.ID })
	}, access.ErrRevoked)
}

// sweep removes sessions that have ended by themselves, or whose users are gone.
func (p *People) sweep(ctx context.Context) {
	now := time.Now()
	var ended []audit.Line
	p.endSessions(ctx, func(s *session) bool {
		why := ""
		switch u := p.lookup(s.user); {
		case p.shared != nil && !s.isOver(now):
			return false // another server may have the user in its file
		case u == nil:
			why = "the user is gone"
		case u.stamp() != s.stamp:
			why = "the user has another password"
		case s.isOver(now):
			why = "nobody has used it, or it was too old"
		default:
			return false
		}
		ended = append(ended, audit.Line{
			At: now, Who: audit.Who{Kind: string(access.User), Subject: s.user, ID: s.id()}, From: s.address, Via: "rest", Do: "logout", OK: true, Why: why,
		})
		return true
	})
	if p.parts.Record == nil {
		return
	}
	for _, line := range ended {
		p.parts.Record(line)
	}
}

// readSessions reads the sessions from the state.
func (p *People) readSessions(ctx context.Context) {
	list, err := p.open.List(ctx, "")
	if err != nil {
		p.log.Warn("not all sessions could be read", "read", len(list), "err", err)
	}
	p.mu.Lock()
	for _, r := range list {
		if len(r.Key) != 2*sha256.Size {
			continue
		}
		p.sessions[r.Key] = r.Value.session(r.Key, r.Revision)
	}
	p.mu.Unlock()
	p.sweep(ctx)
}
