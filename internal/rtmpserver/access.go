package rtmpserver

import (
	"context"
	"errors"
	"strings"
	"time"

	"transponder/internal/access"
	"transponder/internal/hook"
	"transponder/internal/rtmp"
)

// door is the name of this door in the audit log and in the figures of refusals.
const door = "rtmp"

// Access finds out who a client is, and decides what he may do. auth.Authenticator is one.
type Access interface {
	Identify(ctx context.Context, c access.Credential) (*access.Principal, error)
	Authorize(p *access.Principal, c access.Credential, do access.Action, o access.Object) error
	Hold(p *access.Principal) *access.Lease
	Take(p *access.Principal, do access.Action) (release func(), err error)
}

// refusalPause is how long a client waits for the refusal of a credential. It slows down those who try many.
const refusalPause = time.Second

// errNameless refuses a stored key as the name of a stream that has no stream of its own.
var errNameless = errors.New("this key belongs to no stream of its own: write the name of the stream, and ?token= before the key")

// request is a request to publish or to play.
type request struct {
	app, name string // without their queries; the name is "" if it is a stored key
	key       string // the stream key as it was sent
	token     string // "": the client has sent none
	secret    string // the queries, if they may have a secret; else ""
}

// parseRequest reads the application of a connection and the stream key of a request. The token is in the query of the key, or in that of the
// application, or it is the key itself.
func parseRequest(app, key string) request {
	r := request{key: key, secret: secretQuery(app, key)}
	_, query, _ := strings.Cut(app, "?")
	plain, key := address(app, key)
	r.app, r.name = plain, streamName(key)
	_, own, _ := strings.Cut(key, "?")
	for _, q := range []string{own, query} {
		if r.token == "" {
			r.token = tokenOf(q)
		}
	}
	if strings.HasPrefix(r.name, access.KeyPrefix) { // of a client that has one field only, such as OBS
		if r.token == "" {
			r.token = r.name
		}
		r.name = ""
	}
	return r
}

// tokenOf returns the token in a query, "" if there is none.
func tokenOf(query string) string { return valueOf(query, "token") }

// valueOf returns the value of a parameter in a query, "" if there is none.
func valueOf(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return unescape(value)
		}
	}
	return ""
}

// client is who has sent a request.
type client struct {
	who   *access.Principal
	shown access.Credential
	name  string // of the stream
}

// shows returns what a client shows with a token.
func (c *session) shows(token string) access.Credential {
	return access.Credential{Door: door, Peer: c.peer, Local: c.peer.IsLoopback(), Token: token}
}

// admit finds out who has sent a request, and decides whether he may do the action. If not, it waits a little before it returns the error.
func (c *session) admit(ctx context.Context, do access.Action, r request) (client, error) {
	a := client{name: r.name, shown: c.shows(r.token)}
	err := c.authorize(ctx, do, &a)
	if err != nil {
		if paused := waitFor(ctx, refusalPause); paused != nil {
			return a, paused
		}
	}
	return a, err
}

func (c *session) authorize(ctx context.Context, do access.Action, a *client) error {
	if err := c.identify(ctx, a); err != nil {
		return err
	}
	if !c.hooks.IgnoresToken() { // else the backend was asked before
		var err error
		if a.who, err = c.connect(ctx, a.who); err != nil {
			return err
		}
	} else if a.who.Kind == access.Anonymous {
		a.who = c.principal
	}
	if a.who.Stream != "" && (do == access.Publish || a.name == "") {
		a.name = a.who.Stream
	}
	if a.name == "" && a.who.Kind == access.Key {
		return errNameless
	}
	return c.srv.parts.Access.Authorize(a.who, a.shown, do, access.Object{Stream: a.name})
}

// identify finds out who shows a credential. If the backend of an application decides about tokens, one that is none of ours counts as none.
func (c *session) identify(ctx context.Context, a *client) (err error) {
	theirs := c.hooks.IgnoresToken()
	if theirs && !access.LooksLikeToken(a.shown.Token) {
		a.shown.Token = ""
	}
	a.who, err = c.srv.parts.Access.Identify(ctx, a.shown)
	var bad *access.BadCredential
	if theirs && errors.As(err, &bad) {
		a.who, err = access.Nobody(), nil
	}
	return err
}

// turnAway tells a client why he may not publish or play. For a player the answer does not depend on whether there is a stream. The returned
// error ends the connection.
func (c *session) turnAway(verb rtmp.Verb, err error) error {
	if verb == rtmp.Publish {
		return c.refuse("NetStream.Publish.BadName", wordsFor(err), err)
	}
	return c.refuse("NetStream.Play.Failed", wordsFor(err), err)
}

// wordsFor returns the words of an error for the client. The reasons of a backend are not for him.
func wordsFor(err error) string {
	var refused *hook.Refused
	if errors.As(err, &refused) {
		return refused.Info
	}
	return err.Error()
}
