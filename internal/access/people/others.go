package people

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"transponder/internal/state"
)

// followOthers takes over what other servers change, if several have their users in common.
func (p *People) followOthers() {
	if p.shared == nil {
		return
	}
	p.shared.Follow("users", func(ctx context.Context, names []string) {
		for _, name := range names {
			p.takeUser(ctx, name)
		}
	})
	p.shared.Follow("sessions", p.takeSessions)
	p.shared.Follow("visits", func(ctx context.Context, names []string) {
		for _, name := range names {
			p.takeVisit(ctx, name)
		}
	})
}

// takeUser takes over a user as he is now. What he has begun here ends if he has lost rights, or has got another password.
func (p *People) takeUser(ctx context.Context, name string) {
	var next *user
	item, err := p.users.Get(ctx, name)
	switch {
	case err == nil:
		next = item.Value.user(name, item.Revision)
	case !errors.Is(err, state.ErrNotFound):
		p.log.Error("a user whom another server has changed cannot be read: he stays as he was", "user", name, "err", err)
		return
	}
	p.mu.Lock()
	old := p.lookup(name)
	if next == nil {
		delete(p.kept, name)
	} else if kept := p.kept[name]; kept == nil || kept.revision != next.revision {
		p.kept[name] = next
	}
	now := p.lookup(name)
	if now == nil {
		delete(p.last, name)
	}
	p.mu.Unlock()
	if now == nil {
		p.guesses.forgetUser(name)
	}
	if old == nil || now != nil && old.sameRights(now) {
		return
	}
	p.forgetInitial(name)
	p.lost(Loss{Name: name, Removed: now == nil, Elsewhere: true})
}

// takeSessions takes over sessions that were begun, used or ended at other servers.
func (p *People) takeSessions(ctx context.Context, keys []string) {
	var ended []string
	for _, key := range keys {
		if len(key) != 2*sha256.Size {
			continue
		}
		item, err := p.open.Get(ctx, key)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			p.log.Warn("a session that another server has begun cannot be read", "err", err)
			continue
		}
		p.mu.Lock()
		s := p.sessions[key]
		switch {
		case p.owed[key]: // it has ended here
		case err != nil && s != nil && s.revision == 0 && s.saved.IsZero(): // the others do not have it yet
		case err != nil:
			if s != nil {
				delete(p.sessions, key)
				ended = append(ended, key)
			}
		case s == nil:
			p.sessions[key] = item.Value.session(key, item.Revision)
		case s.revision != item.Revision:
			seen := time.UnixMilli(item.Value.LastSeen)
			s.revision, s.saved = item.Revision, seen
			if seen.After(s.seen) {
				s.seen = seen
			}
		}
		p.mu.Unlock()
	}
	if len(ended) > 0 {
		p.endLeases(ended)
	}
}

// takeVisit takes over when and from where a user has logged in at another server.
func (p *People) takeVisit(ctx context.Context, name string) {
	item, err := p.visits.Get(ctx, name)
	if err != nil {
		return // the user was removed, or the record is of a newer version: he logs in again in time
	}
	p.mu.Lock()
	isNew := item.Value.At > p.last[name].At
	if isNew {
		p.last[name] = item.Value
	}
	u := p.lookup(name)
	p.mu.Unlock()
	if !isNew {
		return
	}
	p.guesses.merge(name, item.Value.places())
	if u != nil && u.source == FromState {
		p.forgetInitial(name)
	}
}

// owe notes that the other servers still have a session that has ended here.
func (p *People) owe(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed[key] = true
}

// payOwed ends at the other servers the sessions that have ended here, and lets them know those that have begun here, while nobody could be told.
func (p *People) payOwed(ctx context.Context) {
	if p.shared == nil || p.shared.Writable() != nil {
		return
	}
	p.mu.Lock()
	var keys []string
	for key := range p.owed {
		keys = append(keys, key)
	}
	type begun struct {
		s *session
		r sessionRecord
	}
	var unknown []begun
	for _, s := range p.sessions {
		if s.saved.IsZero() {
			unknown = append(unknown, begun{s, s.record()})
		}
	}
	p.mu.Unlock()
	for _, key := range keys {
		if p.open.Delete(ctx, key, state.Any) != nil {
			return // later
		}
		p.mu.Lock()
		delete(p.owed, key)
		p.mu.Unlock()
	}
	for _, b := range unknown {
		revision, err := p.open.Put(ctx, b.s.key, b.r, 0)
		if err != nil {
			return
		}
		p.mu.Lock()
		b.s.revision, b.s.saved = revision, time.UnixMilli(b.r.LastSeen)
		p.mu.Unlock()
	}
}
