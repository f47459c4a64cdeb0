package rest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/auth"
	"transponder/internal/guard"
)

// Access finds out who sends a request, and decides what the sender may do. auth.Authenticator is one.
type Access interface {
	Credential(door string, r *http.Request) access.Credential
	// Identify returns a *access.BadCredential or a *access.TooMany if what the client has shown is not valid.
	Identify(ctx context.Context, c access.Credential) (*access.Principal, error)
	// Decide returns access.ErrNone or a *access.Denied if the principal may not.
	Decide(p *access.Principal, c access.Credential, do access.Action, o access.Object) error
	Record(p *access.Principal, c access.Credential, line audit.Line)
	Hold(p *access.Principal) *access.Lease
	Mode() auth.Mode
}

// lease returns a context that ends when the sender of a long request loses his rights. free ends the watch, and waits for it.
func (s *Server) lease(ctx context.Context) (_ context.Context, free func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	lease := s.access.Hold(principalOf(ctx))
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-lease.Done():
			cancel(lease.Err())
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		watch.Wait()
		lease.Release()
	}
}

// Reader returns a function that says whether the sender of a request that Protect has let through may read about a stream: nil if he may read
// about everything.
func Reader(ctx context.Context) func(stream string) bool {
	p := principalOf(ctx)
	if access.Decide(p, access.Read, access.Object{}) == nil {
		return nil
	}
	return access.MayRead(p)
}

// Demands of a method on its caller, besides an action.
const (
	anybody access.Action = ""  // nothing
	someone access.Action = "*" // any grant; the method itself asks for an action
	pushers access.Action = "+" // read, or push: whoever may start pushes may ask for his own
)

// caller is who has sent a request.
type caller struct {
	principal  *access.Principal
	credential access.Credential
	line       audit.Line // about the request, for the audit log; owned by the goroutine that serves the request
}

// callerKey is the key of the caller in the context of a request.
type callerKey struct{}

func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{principal: access.Nobody()}
}

// principalOf returns who has sent the request.
func principalOf(ctx context.Context) *access.Principal { return callerOf(ctx).principal }

// credentialOf returns what the sender of the request has shown.
func credentialOf(ctx context.Context) access.Credential { return callerOf(ctx).credential }

// authorize decides whether the sender of the request may do the action.
func (s *Server) authorize(ctx context.Context, a access.Action, o access.Object) error {
	c := callerOf(ctx)
	if c.line.Stream == "" {
		c.line.Stream = o.Stream
	}
	return s.access.Decide(c.principal, c.credential, a, o)
}

// mayRead returns a function that says whether the sender of the request may read about a stream.
func (s *Server) mayRead(ctx context.Context) func(stream string) bool {
	return access.MayRead(principalOf(ctx))
}

// note changes the line of the audit log about the request. The line must not get a secret.
func note(ctx context.Context, change func(*audit.Line)) { change(&callerOf(ctx).line) }

// record writes a line of the audit log about the sender of the request, besides the line that each request that changes something leaves.
func (s *Server) record(ctx context.Context, line audit.Line) {
	s.access.Record(principalOf(ctx), credentialOf(ctx), line)
}

// isStranger says whether the sender of the request must not learn what is in the private networks of this server: everybody but
// administrators who have shown who they are, and clients on this machine.
func isStranger(ctx context.Context) bool {
	p := principalOf(ctx)
	return isLetIn(p) || !p.IsAdmin()
}

// hasShown says whether a principal has shown who he is.
func hasShown(p *access.Principal) bool {
	switch p.Kind {
	case access.Local, access.Anonymous, access.Setting:
		return p.ID != "" // whip_token is a setting, too
	}
	return true
}

// errLasting keeps strangers from leaving something in a server that is open for a while: a user would still be there when the server is
// closed again.
var errLasting = refusal{http.StatusUnauthorized, "whoever changes users, applications, destinations or files from another machine must log in, " +
	"also where the settings let everybody in"}

// isLetIn says whether a principal has his rights by the settings alone, without a credential, and is not on this machine.
func isLetIn(p *access.Principal) bool { return !hasShown(p) && p.Kind != access.Local }

// identify finds out who has sent a request. It refuses requests that have power only because of where they come from, if the Host header is
// a name that a stranger may own.
func (s *Server) identify(door string, r *http.Request) (*caller, error) {
	c := &caller{principal: access.Nobody(), credential: s.access.Credential(door, r)}
	p, err := s.access.Identify(r.Context(), c.credential)
	if err != nil {
		return c, err
	}
	c.principal = p
	if hasShown(p) {
		return c, nil
	}
	powerful := len(p.Grants) > 0
	if !powerful && !c.credential.Local && guard.IsLocal(r) {
		near := c.credential
		near.Local = true
		p, err := s.access.Identify(r.Context(), near)
		powerful = err == nil && len(p.Grants) > 0 // it would be, under a name of this server
	}
	if powerful {
		if err := s.parts.Guard.Host(door, r); err != nil {
			c.principal = access.Nobody()
			return c, refusal{http.StatusForbidden, err.Error()}
		}
	}
	return c, nil
}

// admit lets a request in whose sender has what a method demands.
func (s *Server) admit(c *caller, need access.Action) error {
	switch need {
	case anybody:
		return nil
	case someone:
		if len(c.principal.Grants) > 0 {
			return nil
		}
		need = access.Read // for the words
	case pushers:
		if access.Has(c.principal, access.Read) || access.Has(c.principal, access.Push) {
			return nil
		}
		need = access.Read
	case access.Admin:
	default:
		if access.Has(c.principal, need) {
			return nil
		}
	}
	return s.access.Decide(c.principal, c.credential, need, access.Object{})
}

// refuse answers a request whose sender is unknown, or may not do what he wants.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, c *caller, err error) {
	var tries *access.TooMany
	var bad *access.BadCredential
	switch {
	case errors.As(err, &tries):
		s.parts.Refusals.Note("rest", guard.WhyTries, "peer", r.RemoteAddr)
	case errors.As(err, &bad):
		s.parts.Refusals.Note("rest", guard.WhyPassword, "peer", r.RemoteAddr)
	}
	if status, _ := outcome(err); status == http.StatusUnauthorized && isVisit(r) {
		next := &url.URL{Path: r.URL.Path, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, "/login?next="+url.QueryEscape(next.RequestURI()), http.StatusSeeOther)
		return
	}
	s.fail(w, r, err)
}

// isVisit says whether a person has opened the address in a browser.
func isVisit(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	opened := mode == "navigate" || mode == "" && isBrowser(r) && strings.Contains(r.Header.Get("Accept"), "text/html")
	return isGet(r) && opened && strings.HasPrefix(r.URL.Path, "/")
}

// isBrowser says whether a request comes from a browser. Over plain HTTP from another machine, browsers send neither Sec-Fetch-Mode nor, with a
// GET of the own page, Origin. All of them call themselves Mozilla.
func isBrowser(r *http.Request) bool {
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Mode") != "" || strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

func isGet(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// challenge tells the client how to show who it is. Browsers are not asked for a password: a browser would send the password with the
// requests of all pages to this server, those of strangers too. Our pages have a login of their own.
func challenge(h http.Header, r *http.Request, err error) {
	var bad *access.BadCredential
	bearer := `Bearer realm="rest-api"`
	if errors.As(err, &bad) && strings.HasPrefix(strings.ToLower(r.Header.Get("Authorization")), "bearer ") {
		bearer = `Bearer realm="rest-api", error="invalid_token"`
		h.Add("WWW-Authenticate", bearer)
		return
	}
	if !isBrowser(r) {
		h.Add("WWW-Authenticate", `Basic realm="rest-api", charset="UTF-8"`)
		h.Add("WWW-Authenticate", bearer)
	}
}

// retryIn tells the client when to try again.
func retryIn(h http.Header, wait time.Duration) {
	h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
}
