package app

import (
	"context"
	"errors"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/auth"
	"transponder/internal/access/people"
	"transponder/internal/access/token"
)

// openPeople makes the audit log and the parts that know the users.
func (a *App) openPeople(ctx context.Context) (err error) {
	if a.audit, err = audit.New(a.cfg.Audit, a.state, a.log); err != nil {
		return err
	}
	dir := a.state.Dir()
	if a.state.Stats().Failing {
		dir = "" // what we make now would be gone with this process
	}
	a.pushers.AddCheck(a.mayStillPush)
	a.people, err = people.New(ctx, a.cfg.People, people.Parts{
		Keeper: a.keeper(), Dir: dir, Terminal: a.cfg.Terminal, Shares: a.cfg.Shares, Leases: a.leases, Record: a.audit.Note, Lost: a.lostRights,
	}, a.log)
	return err
}

// noteServer writes a line of the audit log about what the server itself has done.
func (a *App) noteServer(do string, err error, what string) {
	line := audit.Line{At: time.Now(), Who: audit.Who{Kind: string(access.Local)}, Via: "server", Do: do, Object: what, OK: err == nil}
	if err != nil {
		line.Why = err.Error()
	}
	a.audit.Note(line)
}

// reloadPeople reads the file of users again, and opens the file of the audit log again.
func (a *App) reloadPeople() error { return errors.Join(a.people.Reload(), a.audit.Reload()) }

// lostRights takes back what a user has begun and given to programs: his pushes that he may not start any more, the tokens that he has made, and
// those of his keys that may do more than he may now.
func (a *App) lostRights(ctx context.Context, l people.Loss) {
	name := l.Name
	a.pushers.End(func(p *access.Principal) bool { return p.Subject == name && a.mayStillPush(p) != nil }, access.ErrRevoked)
	if l.Elsewhere {
		return // the news of his tokens and keys come by themselves
	}
	owner := "user:" + name
	var errs []error
	if u, err := a.people.User(name); l.Removed || err != nil {
		errs = append(errs, a.tokens.RemoveKeysOf(ctx, owner))
	} else {
		now := &access.Principal{Kind: access.User, Subject: name, Grants: u.Role.Grants(u.Streams)}
		for _, k := range a.tokens.Keys(access.Whole(access.Local)) {
			if k.Owner == owner && access.Give(now, k.Grants) != nil {
				errs = append(errs, a.tokens.RemoveKey(ctx, access.Whole(access.Local), k.ID))
			}
		}
		errs = append(errs, a.tokens.Revoke(ctx, nil, token.Revocation{Sub: owner}))
	}
	if err := errors.Join(errs...); err != nil {
		a.log.Error("not all tokens and keys of a user were taken back", "user", name, "err", err)
	}
}

// mayStillPush returns access.ErrRevoked if a user who has started a push is removed, may not push its streams any more, or is no administrator any
// more, who may push to where others may not. A new password, or another role with the same right, ends no show.
func (a *App) mayStillPush(then *access.Principal) error {
	if a.cfg.People.KeepPushes {
		return nil
	}
	u, err := a.people.User(then.Subject)
	if err != nil {
		return access.ErrRevoked
	}
	now := &access.Principal{Kind: access.User, Subject: u.Name, Grants: u.Role.Grants(u.Streams)}
	var pushes []access.Grant
	for _, g := range then.Grants {
		if access.Has(&access.Principal{Grants: []access.Grant{g}}, access.Push) {
			pushes = append(pushes, access.Grant{Actions: []access.Action{access.Push}, Streams: g.Streams})
		}
	}
	if access.Give(now, pushes) != nil || then.IsAdmin() && !now.IsAdmin() {
		return access.ErrRevoked
	}
	return nil
}

// pushRights are the rights of those who start pushes. The session of a user ends by itself after a while, and when he gets a new password; his
// pushes do not.
type pushRights struct {
	*auth.Authenticator
	users *access.Leases
}

// Hold returns the lease of a push.
func (r pushRights) Hold(p *access.Principal) *access.Lease {
	if p.Kind != access.User {
		return r.Authenticator.Hold(p)
	}
	lasting := *p
	lasting.Until = time.Time{}
	return r.users.Hold(&lasting)
}

// FirstAdmin returns the name and the password of the administrator whom this process has made, once, if a person reads what it prints.
func (a *App) FirstAdmin() (name, password string, ok bool) { return a.people.First() }
