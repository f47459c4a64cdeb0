package rest

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/people"
	"transponder/internal/guard"
)

// People has the users and their sessions. people.People is one.
type People interface {
	Login(ctx context.Context, c access.Credential) (*access.Principal, error)
	Session(ctx context.Context, c access.Credential) (*access.Principal, error)
	Start(ctx context.Context, c access.Credential, userAgent string) (secret string, p *access.Principal, err error)
	End(ctx context.Context, c access.Credential) error
	Terminate(ctx context.Context, id string) error
	Sessions() []people.Session // newest first
	Describe(p *access.Principal) (people.Session, error)

	User(name string) (people.User, error)
	Users() []people.User // by name
	Create(ctx context.Context, n people.NewUser) (u people.User, password string, err error)
	Update(ctx context.Context, name string, c people.Change) (people.User, error)
	ChangePassword(ctx context.Context, c access.Credential, password string) error
	Remove(ctx context.Context, name string) error
}

func (s *Server) sessionRoutes() {
	s.handle("/session", anybody, []string{http.MethodGet, http.MethodPost, http.MethodDelete}, s.session)
	s.handle("/session/password", someone, []string{http.MethodPost}, s.changePassword)
	s.list("/session/find_all", access.Admin, withPeople(s, s.findSessions), http.MethodGet, http.MethodPost)
	s.method("/session/terminate", access.Admin, withPeople(s, s.terminateSession), http.MethodPost)
}

// errNoPeople is the answer of a server that has no users.
var errNoPeople = refusal{http.StatusNotImplemented, "this server has no users"}

// withPeople returns do for a server that has users.
func withPeople(s *Server, do func(context.Context, *fields) (any, error)) func(context.Context, *fields) (any, error) {
	if s.parts.People == nil {
		return func(context.Context, *fields) (any, error) { return nil, errNoPeople }
	}
	return do
}

// session logs in, logs out, or tells who the caller is. What it does is in the audit log as login and logout.
func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	answer, err := s.call(w, r, func(f *fields) (any, error) {
		switch {
		case !isGet(r) && s.parts.People == nil:
			return nil, errNoPeople
		case r.Method == http.MethodPost:
			return s.logIn(w, r, f)
		case r.Method == http.MethodDelete:
			return s.logOut(w, r)
		}
		p := principalOf(r.Context())
		if p.Kind == access.Anonymous && len(p.Grants) == 0 {
			return nil, access.ErrNone
		}
		return s.newSessionBody(p), nil
	})
	s.conclude(w, r, answer, err)
}

func (s *Server) logIn(w http.ResponseWriter, r *http.Request, f *fields) (any, error) {
	c := credentialOf(r.Context())
	c.Name, c.Password, c.Token, c.Session = f.required("name"), f.required("password"), "", ""
	if f.err != nil {
		return nil, f.err
	}
	if err := s.mayLogIn(r); err != nil {
		return nil, err
	}
	secret, p, err := s.parts.People.Start(r.Context(), c, r.UserAgent())
	var bad *access.BadCredential
	switch {
	case errors.As(err, &bad):
		s.parts.Refusals.Note("rest", guard.WhyPassword, "peer", r.RemoteAddr)
		return nil, refusal{http.StatusUnauthorized, "wrong name or password"}
	case err != nil:
		return nil, err
	}
	http.SetCookie(w, sessionCookie(r, secret, people.SessionTime))
	return s.newSessionBody(p), nil
}

// errNotUser is the answer to somebody without a password.
var errNotUser = refusal{http.StatusForbidden, "only users have a password to change: log in first"}

// changePassword gives the caller another password. All his sessions end; a page that asks with a cookie gets a new one.
func (s *Server) changePassword(w http.ResponseWriter, r *http.Request) {
	answer, err := s.call(w, r, func(f *fields) (any, error) {
		p := principalOf(r.Context())
		if s.parts.People == nil {
			return nil, errNoPeople
		}
		if p.Kind != access.User {
			return nil, errNotUser
		}
		c := credentialOf(r.Context())
		hasCookie := c.Session != ""
		c.Name, c.Password, c.Token, c.Session = p.Subject, f.required("password"), "", ""
		next := f.required("newPassword")
		if f.err != nil {
			return nil, f.err
		}
		if err := s.mayLogIn(r); err != nil {
			return nil, err
		}
		aboutObject(r.Context(), p.Subject)
		err := s.parts.People.ChangePassword(r.Context(), c, next)
		var bad *access.BadCredential
		switch {
		case errors.As(err, &bad): // 401 would tell a page that its login is over
			s.parts.Refusals.Note("rest", guard.WhyPassword, "peer", r.RemoteAddr)
			return nil, refusal{http.StatusForbidden, "password: it is not the present password"}
		case err != nil:
			return nil, err
		}
		if hasCookie {
			c.Password = next
			secret, _, err := s.parts.People.Start(r.Context(), c, r.UserAgent())
			if err != nil {
				return nil, err
			}
			http.SetCookie(w, sessionCookie(r, secret, people.SessionTime))
		}
		return nil, nil
	})
	s.conclude(w, r, answer, err)
}

func (s *Server) logOut(w http.ResponseWriter, r *http.Request) (any, error) {
	http.SetCookie(w, sessionCookie(r, "", -1))
	err := s.parts.People.End(r.Context(), credentialOf(r.Context()))
	if errors.Is(err, people.ErrNoSession) {
		err = nil // it is over, as was asked for
	}
	return nil, err
}

// mayLogIn refuses passwords that everybody between the client and this server can read.
func (s *Server) mayLogIn(r *http.Request) error {
	if isSecure(r) || guard.IsLocal(r) || s.cfg.LoginOverHTTP {
		return nil
	}
	where := "set up HTTPS (https.port), or allow it by login_over_http=true"
	if s.cfg.HTTPSPort > 0 {
		where = "open " + secureAddress(r, s.cfg.HTTPSPort)
	}
	return refusal{http.StatusForbidden, "nobody may log in over plain HTTP from another machine, because others could read the password: " + where}
}

// secureAddress returns the address of the login page by HTTPS.
func secureAddress(r *http.Request, port int) string {
	host, _ := splitPort(r.Host)
	if port != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return "https://" + host + "/login"
}

// isSecure says whether the client has used HTTPS, at this server or at a proxy before it. A client may claim that there was a proxy: that
// endangers nobody but the client.
func isSecure(r *http.Request) bool {
	forwarded := r.Header.Values("X-Forwarded-Proto")
	if r.TLS != nil || len(forwarded) == 0 {
		return r.TLS != nil
	}
	words := strings.Split(forwarded[len(forwarded)-1], ",")
	return strings.EqualFold(strings.TrimSpace(words[len(words)-1]), "https")
}

// cookieName returns the name of the cookie for the address that the client has used. Browsers send cookies to all ports of a host, so the
// name has the port. Browsers take a cookie whose name begins with __Host- only from HTTPS, and only from the host itself.
func cookieName(r *http.Request) string {
	_, port := splitPort(r.Host)
	if isSecure(r) {
		return "__Host-transponder-" + cmp.Or(port, "443")
	}
	return "transponder-" + cmp.Or(port, "80")
}

// splitPort splits a Host header. port is "" if there is none that a cookie's name can have.
func splitPort(host string) (name, port string) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return strings.Trim(host, "[]"), ""
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		port = ""
	}
	return name, port
}

// SessionCookie returns the secret of the session that a request belongs to; "": it has none.
func SessionCookie(r *http.Request) string {
	c, err := r.Cookie(cookieName(r))
	if err != nil {
		return ""
	}
	return c.Value
}

// sessionCookie returns the cookie that gives a browser the secret of a session. With a negative age, the browser forgets it.
func sessionCookie(r *http.Request, secret string, age time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: cookieName(r), Value: secret, Path: "/", MaxAge: int(age / time.Second), Secure: isSecure(r), HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if age < 0 {
		c.MaxAge = -1
	}
	return c
}

// sessionBody says who the caller is. Times are ms since 1970.
type sessionBody struct {
	Kind    access.Kind     `json:"kind"`
	Name    string          `json:"name"`
	Role    access.Role     `json:"role"` // "": his rights are not the rights of a role
	Actions []access.Action `json:"actions"`
	Streams []string        `json:"streams"`
	App     string          `json:"app"`
	Mode    string          `json:"mode"`
	Since   int64           `json:"since,omitempty"`
	Expires int64           `json:"expiresAt,omitempty"`
}

func (s *Server) newSessionBody(p *access.Principal) sessionBody {
	b := sessionBody{Kind: p.Kind, Name: p.Subject, App: p.App, Mode: string(s.access.Mode()), Actions: []access.Action{}, Streams: []string{}}
	for _, a := range access.Actions {
		if access.Has(p, a) {
			b.Actions = append(b.Actions, a)
		}
	}
	for _, g := range p.Grants {
		for _, stream := range g.Streams {
			if !slices.Contains(b.Streams, stream) {
				b.Streams = append(b.Streams, stream)
			}
		}
	}
	if p.IsAdmin() {
		b.Role = access.Administrator
	}
	expires := p.Until
	if p.Kind == access.User && s.parts.People != nil {
		if u, err := s.parts.People.User(p.Subject); err == nil {
			b.Role = u.Role
		}
		if session, err := s.parts.People.Describe(p); err == nil {
			b.Since, expires = session.Created.UnixMilli(), session.Expires
		}
	}
	if !expires.IsZero() {
		b.Expires = expires.UnixMilli()
	}
	return b
}

// openSessionBody is a session in a list.
type openSessionBody struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Role      access.Role `json:"role"`
	Address   string      `json:"address"`
	Created   int64       `json:"created"`
	LastSeen  int64       `json:"lastSeen"`
	UserAgent string      `json:"userAgent"`
}

var errNoSession = refusal{http.StatusNotFound, "Session not found"}

func (s *Server) findSessions(context.Context, *fields) (any, error) {
	var list []openSessionBody
	for _, o := range s.parts.People.Sessions() {
		list = append(list, openSessionBody{o.ID, o.User, o.Role, o.Address, o.Created.UnixMilli(), o.LastSeen.UnixMilli(), o.UserAgent})
	}
	if list == nil {
		return nil, errNoSession
	}
	return list, nil
}

func (s *Server) terminateSession(ctx context.Context, f *fields) (any, error) {
	id := f.required("id")
	if f.err != nil {
		return nil, f.err
	}
	for _, o := range s.parts.People.Sessions() {
		if o.ID == id {
			aboutObject(ctx, o.User)
		}
	}
	return nil, s.parts.People.Terminate(ctx, id)
}
