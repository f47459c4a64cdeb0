// Package auth finds out who a client is. An Authenticator turns what a client has shown at a door into a principal, as the mode of access
// in the settings says, and writes down what is decided about it. internal/app makes one Authenticator for all doors.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/guard"
)

// Mode says who needs a credential (the setting access).
type Mode string

const (
	Auto   Mode = "auto"   // everybody except clients on this machine
	Closed Mode = "closed" // everybody
	Open   Mode = "open"   // nobody, as with Web Call Server
)

// Config says who needs a credential.
type Config struct {
	Mode Mode
	// Anonymous are the actions that clients without a credential may do with all streams (anonymous).
	Anonymous []access.Action
}

// DefaultConfig lets clients on this machine do everything, and others nothing.
func DefaultConfig() Config { return Config{Mode: Auto} }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	switch c.Mode {
	case Auto, Closed, Open:
	default:
		errs = append(errs, fmt.Errorf("access: must be auto, closed or open, not %q", c.Mode))
	}
	errs = append(errs, access.Grant{Actions: c.Anonymous}.Validate())
	return errors.Join(errs...)
}

// Tokens checks JWTs and stored keys. The error is a *access.BadCredential or a *access.TooMany.
type Tokens interface {
	Verify(ctx context.Context, c access.Credential) (*access.Principal, error)
}

// People checks names and passwords, and the cookies of those who have logged in. The errors are those of Tokens.
type People interface {
	Login(ctx context.Context, c access.Credential) (*access.Principal, error)
	Session(ctx context.Context, c access.Credential) (*access.Principal, error)
}

// Recorder writes down what was decided. It does not block for long.
type Recorder interface {
	Note(line audit.Line)
}

// Parts are the parts that an Authenticator asks. Each may be nil: then nobody has such a credential.
type Parts struct {
	Tokens   Tokens
	People   People
	Recorder Recorder
	Guard    *guard.Guard
	Refusals *guard.Refusals
	Shares   guard.SharesConfig
	Leases   *access.Leases
	Quotas   *access.Quotas
}

// Authenticator finds out who clients are. All methods may be called from any goroutine.
type Authenticator struct {
	cfg   Config
	parts Parts
	log   *slog.Logger
}

// New makes an Authenticator for a valid configuration.
func New(cfg Config, parts Parts, log *slog.Logger) *Authenticator {
	if parts.Leases == nil {
		parts.Leases = access.NewLeases()
	}
	return &Authenticator{cfg, parts, log}
}

// Credential returns what an HTTP request shows. door names the caller.
func (a *Authenticator) Credential(door string, r *http.Request) access.Credential {
	c := access.Credential{Door: door, Peer: a.parts.Shares.Client(r), Origin: r.Header.Get("Origin")}
	c.Local = guard.IsLocal(r) // the door has asked the guard about host and page before
	return c
}

// Identify returns who has shown the credential. With an empty credential that is the anonymous principal, or what the mode makes of it. The
// error is a *access.BadCredential or a *access.TooMany.
func (a *Authenticator) Identify(ctx context.Context, c access.Credential) (*access.Principal, error) {
	switch {
	case c.Token != "" && a.parts.Tokens != nil:
		return a.parts.Tokens.Verify(ctx, c)
	case c.Session != "" && a.parts.People != nil:
		return a.parts.People.Session(ctx, c)
	case (c.Name != "" || c.Password != "") && a.parts.People != nil:
		return a.parts.People.Login(ctx, c)
	case a.cfg.Mode == Open:
		return access.Whole(access.Anonymous), nil
	case c.Local && a.cfg.Mode == Auto:
		return access.Whole(access.Local), nil
	case len(a.cfg.Anonymous) > 0:
		return &access.Principal{Kind: access.Anonymous, Grants: []access.Grant{
			{Actions: a.cfg.Anonymous, Streams: []string{"*"}, Destinations: []string{"*"}, URLs: []string{"*"}},
		}}, nil
	}
	return access.Nobody(), nil
}

// Authorize decides whether a principal may do the action, and writes the decision down, except that somebody was allowed to read. If he may
// not, the error is access.ErrNone for somebody who has shown nothing, otherwise a *access.Denied.
func (a *Authenticator) Authorize(p *access.Principal, c access.Credential, do access.Action, o access.Object) error {
	err := access.Decide(p, do, o)
	if err != nil || do != access.Read {
		a.Record(p, c, audit.Line{Do: string(do), Stream: o.Stream, Target: target(o), OK: err == nil, Why: text(err)})
	}
	if err != nil {
		a.parts.Refusals.Note(c.Door, "access", "peer", c.Peer.String(), "principal", p.String())
		if p == nil || p.Kind == access.Anonymous {
			return access.ErrNone
		}
	}
	return err
}

// Record writes a line of the audit log. It fills in when, who and where.
func (a *Authenticator) Record(p *access.Principal, c access.Credential, line audit.Line) {
	if a.parts.Recorder == nil {
		return
	}
	line.At, line.Via, line.Origin = time.Now(), c.Door, c.Origin
	line.Who = audit.Who{Kind: string(access.Anonymous)}
	if p != nil {
		line.Who = audit.Who{Kind: string(p.Kind), Subject: p.Subject, ID: p.ID, App: p.App}
	}
	if c.Peer.IsValid() {
		line.From = c.Peer.String()
	}
	a.parts.Recorder.Note(line)
}

// Hold returns the lease of a session of the principal. The door ends the session when the lease is over, and releases it in any case.
func (a *Authenticator) Hold(p *access.Principal) *access.Lease { return a.parts.Leases.Hold(p) }

// Take takes one of the places that the principal and his application may have for Publish, Play or Push. The error is a *access.Full.
func (a *Authenticator) Take(p *access.Principal, do access.Action) (release func(), err error) {
	return a.parts.Quotas.Take(p, do)
}

func target(o access.Object) string {
	if o.Destination != "" {
		return "destination://" + o.Destination
	}
	return "" // an address may have secrets; the push writes it down masked
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
