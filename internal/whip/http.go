package whip

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"transponder/internal/access"
	"transponder/internal/guard"
	"transponder/internal/hook"
	"transponder/internal/load"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// shared sets the CORS headers, by which browsers let pages of other hosts read the answers. Pages may send a token from everywhere, because a
// browser sends no token by itself.
func shared(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "Location, ETag, Link, Allow, Accept-Post, Accept-Patch, Retry-After, WWW-Authenticate")
		next(w, r)
	}
}

// allowed is shared for requests that need no token. It refuses the pages of other hosts that could reach this server only through the
// browsers of their visitors (guard.Guard.Media).
func (p protocol) allowed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if bearer(r) == "" {
			if err := p.server.parts.Guard.Media(p.name, p.setting, r); err != nil {
				problem(w, http.StatusForbidden, err.Error())
				return
			}
		}
		shared(next)(w, r)
	}
}

// bearer returns the bearer token of the request (RFC 6750, 2.1), "" if there is none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// optionsOfOffers is options of the address for offers. Libraries that cannot take ICE servers after their offer ask for them here (RFC 9725, 4.6).
// Preflights of browsers show no credential, and get none.
func (p protocol) optionsOfOffers(methods string) http.HandlerFunc {
	next := p.server.options(methods)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Access-Control-Request-Method") == "" && len(p.server.cfg.ICEServers.URLs) > 0 && p.mayBegin(r) {
			p.server.linkICEServers(w.Header(), stream.NewID())
		}
		next(w, r)
	}
}

// mayBegin says whether a request shows what an offer would need. The backend of an application is not asked, so what it alone decides does not
// count.
func (p protocol) mayBegin(r *http.Request) bool {
	c := p.credential(r, true) // a token for one session is still good for the offer afterwards
	if p.identify(r, &c, false) != nil {
		return false
	}
	return p.server.parts.Access.Authorize(c.who, c.shown, p.action, access.Object{Stream: r.PathValue("name")}) == nil
}

// linkICEServers tells a client the STUN and TURN servers (RFC 9725, 4.6).
func (s *Server) linkICEServers(h http.Header, client string) {
	for _, one := range s.cfg.ICEServers.For(client, time.Now()) {
		value := "<" + one.URL + `>; rel="ice-server"`
		if one.User != "" {
			value += `; username="` + quoted(one.User) + `"; credential="` + quoted(string(one.Credential)) + `"; credential-type="password"`
		}
		h.Add("Link", value)
	}
}

// quoted escapes the content of a quoted string (RFC 9110, 5.6.4).
func quoted(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
}

// options answers preflight requests of browsers, and clients that ask what they may post (RFC 9725, 4.2).
func (s *Server) options(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Accept-Post", typeSDP)
		if strings.Contains(methods, http.MethodPatch) {
			h.Set("Accept-Patch", typeFragment)
		}
		preflight(w, methods)
	}
}

// preflight tells a browser which requests pages of other hosts may make.
func preflight(w http.ResponseWriter, methods string) {
	h := w.Header()
	h.Set("Allow", methods)
	h.Set("Access-Control-Allow-Methods", methods)
	// The client of Eyevinn sends the ETag in a header ETag, not in If-Match.
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, ETag, Link")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) notAllowed(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", methods)
		problem(w, http.StatusMethodNotAllowed, "this address takes "+methods)
	}
}

// status returns the status and the words of the answer for an error of rtc.Ingest or rtc.Egress.
func status(err error) (code int, detail string) {
	var busy *picture.BusyError
	var bad *access.BadCredential
	var often *access.TooMany
	var denied *access.Denied
	var full *access.Full
	var page *guard.Error
	var refused *hook.Refused
	switch {
	case errors.As(err, &refused):
		return http.StatusForbidden, refused.Info
	case errors.Is(err, access.ErrNone), errors.As(err, &bad):
		return http.StatusUnauthorized, err.Error()
	case errors.As(err, &denied), errors.As(err, &page):
		return http.StatusForbidden, err.Error()
	case errors.As(err, &often), errors.As(err, &full):
		return http.StatusTooManyRequests, err.Error()
	case errors.Is(err, errNoStream):
		return http.StatusNotFound, err.Error()
	case errors.As(err, &busy):
		return http.StatusServiceUnavailable, err.Error()
	case errors.Is(err, picture.ErrDisabled):
		return http.StatusNotAcceptable, err.Error()
	case errors.Is(err, rtc.ErrBadOffer), errors.Is(err, stream.ErrName):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, rtc.ErrNoCommonCodecs), errors.Is(err, rtc.ErrPartial):
		return http.StatusNotAcceptable, err.Error()
	case errors.Is(err, stream.ErrNameInUse), errors.Is(err, stream.ErrIDInUse):
		return http.StatusConflict, err.Error()
	case errors.Is(err, load.ErrFull), errors.Is(err, errStopping):
		return http.StatusServiceUnavailable, err.Error()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable, "the request was cancelled"
	default:
		return http.StatusInternalServerError, "the server could not set up the connection"
	}
}

// retryAfter is how many seconds a client should wait that was refused because the server is full.
const retryAfter = "10"

func (p protocol) refuse(w http.ResponseWriter, err error) {
	code, detail := status(err)
	var often *access.TooMany
	switch {
	case code == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case errors.As(err, &often):
		w.Header().Set("Retry-After", strconv.Itoa(int((often.Wait+time.Second-1)/time.Second)))
	case code == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", retryAfter)
	}
	if c := challenge(err); c != "" {
		w.Header().Set("WWW-Authenticate", c)
	}
	problem(w, code, detail)
}

// challenge returns what WWW-Authenticate says about an error (RFC 6750, 3), "" if the error is not about a token.
func challenge(err error) string {
	var bad *access.BadCredential
	var denied *access.Denied
	kind := ""
	switch {
	case errors.Is(err, access.ErrNone):
		return "Bearer"
	case errors.As(err, &bad):
		kind = "invalid_token"
	case errors.As(err, &denied):
		kind = "insufficient_scope"
	default:
		return ""
	}
	return `Bearer error="` + kind + `", error_description="` + described(err.Error()) + `"`
}

// described returns a text with the characters that RFC 6750, 3, allows in an error_description.
func described(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"', r == '\\':
			return '\''
		case r < ' ', r > '~':
			return '?'
		}
		return r
	}, text)
}

// problem answers with an error in the form of RFC 9457.
func problem(w http.ResponseWriter, code int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(code), code, detail})
}
