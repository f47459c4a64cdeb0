package rest

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"transponder/api"
	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/cluster"
	"transponder/internal/guard"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// Pushes starts, finds and ends pushes: those of this process, and those that are kept and that no process runs. cluster.Pushes is one.
type Pushes interface {
	Start(ctx context.Context, req transponder.Request) (transponder.Info, error)
	Find(ctx context.Context, f transponder.Filter) ([]transponder.Info, error)
	Terminate(ctx context.Context, id string) error
	Mute(ctx context.Context, id string, on bool) error
	SoundOn(ctx context.Context, id, file string, loop bool) error
	SoundOff(ctx context.Context, id string) error
	UseSource(ctx context.Context, id, streamName string) error
	History(ctx context.Context, n int) ([]*transponder.Info, error) // ended pushes, at most n, the newest first; nobody changes them
}

// Streams lists the streams, oldest first. stream.Hub is one.
type Streams interface {
	Sources() []*stream.Source
	// Spares returns the publishers that get a name when the present publisher of the name leaves.
	Spares() []*stream.Source
}

// Events returns the events of pushes from any number on. transponder.Journal is one.
type Events interface {
	Since(ctx context.Context, after uint64, dst []transponder.Event) (n int, missed uint64, err error)
	Last() uint64
	Run() string
}

// Parts are the parts of the server that do the work for this API.
type Parts struct {
	Pushes  Pushes
	Checker Checker // nil: there is no method for it
	Streams Streams
	Events  Events
	// Destinations keeps addresses with names; nil: there are none. DescribeTarget checks an address, and returns it without its secrets.
	Destinations   Destinations
	DescribeTarget func(rtmpURL string, fullURL *bool) (string, error)

	Members Members                              // nil: there is no method for it
	Nodes   Nodes                                // nil: this server is alone
	HasHere func(k cluster.Kind, id string) bool // says whether this server has something; needed with Nodes
	Orphans Orphans                              // nil: there are none
	// Past returns the latest n pushes of all servers that are over, newest first, also of servers that are gone; nil: nobody knows.
	Past func(n int) []*transponder.Info

	Apps        Apps  // nil: there are no methods of applications
	Calls       Calls // nil: the settings switch SIP off
	Connections Connections
	Players     Players
	Thumbnail   Thumbnail    // nil: there is no method for it
	Receptions  Receptions   // nil: nobody knows
	Tokens      Tokens       // nil: there are no methods of tokens and keys
	Report      Report       // nil: there is no method for it
	Node        Node         // nil: there are no methods of nodes
	Runtime     Runtime      // nil: nothing changes while the server runs
	Media       Media        // nil: there are no methods of files
	Access      Access       // nil: clients on this machine may do everything, others nothing
	Guard       *guard.Guard // nil: a guard that knows no names of this server
	Refusals    *guard.Refusals
	People      People             // nil: there are no users
	Audit       AuditLog           // nil: there is no audit log
	Shares      guard.SharesConfig // how many of the clients that follow events one address may have
}

const (
	// prefix is the path of the API.
	prefix = "/rest-api"

	// maxBody is far more than any request needs: one that ends ten thousand streams by their ids has half of it.
	maxBody = 1 << 20

	// bodyTimeout is how long a client may take to send its request.
	bodyTimeout = 10 * time.Second

	contentType = "application/json;charset=UTF-8"
)

// Server is the handler of everything under the prefix.
type Server struct {
	parts  Parts
	access Access
	log    *slog.Logger

	pages  pageRules
	cfg    Config
	nodeID string
	mux    *http.ServeMux

	methods map[string][]string // by path, for the header Allow

	followers followers
	checks    checks
}

// New makes the handler for /rest-api/. It fails if cfg is not valid.
func New(cfg Config, parts Parts, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	pages, err := cfg.pageRules("rest", parts.Guard)
	if err != nil {
		return nil, err
	}
	if parts.Access == nil {
		who := auth.DefaultConfig()
		if cfg.Auth {
			who.REST = auth.RESTClosed
		}
		own := auth.Parts{Cookie: SessionCookie, Guard: parts.Guard, Pages: pages.origins, Refusals: parts.Refusals, Shares: parts.Shares}
		if parts.People != nil {
			own.People = parts.People
		}
		parts.Access = auth.New(who, own, log)
	}
	s := &Server{
		parts: parts, access: parts.Access, log: log, pages: pages, cfg: cfg, nodeID: cfg.NodeID, mux: http.NewServeMux(),
		methods:   map[string][]string{},
		followers: followers{places: parts.Shares.Places(maxFollowers), full: errFollowers, share: errShare},
		checks:    checks{running: followers{places: parts.Shares.Places(maxChecks), full: errChecks, share: errChecks}},
	}
	if pages.origins.Any() {
		log.Warn("pages of every host may use the REST API through their visitors' browsers: name those that may in rest_access_control_allow_origin")
	}
	s.routes()
	return s, nil
}

func (s *Server) routes() {
	s.method("/push/startup", access.Push, s.startPush, http.MethodPost)
	if s.parts.Checker != nil {
		s.checkRoute()
	}
	s.list("/push/find", pushers, s.findPushes, http.MethodPost)
	s.list("/push/find_all", pushers, s.findAllPushes, http.MethodGet, http.MethodPost)
	s.method("/push/retry", someone, s.retryPush, http.MethodPost)
	s.method("/push/terminate", someone, s.terminatePush, http.MethodPost)
	s.read("/push/history", pushers, s.pushHistory)
	s.read("/push/events", pushers, s.followPushes)
	s.method("/push/mute", someone, s.mutePush(true), http.MethodPost)
	s.method("/push/unmute", someone, s.mutePush(false), http.MethodPost)
	s.method("/push/sound_on", someone, s.soundOn, http.MethodPost)
	s.method("/push/sound_off", someone, s.soundOff, http.MethodPost)
	s.method("/push/source", someone, s.useSource, http.MethodPost)
	s.list("/stream/find", access.Read, s.findStreams, http.MethodPost)
	s.list("/stream/find_all", access.Read, s.findAllStreams, http.MethodGet, http.MethodPost)
	s.method("/stream/terminate", someone, s.terminateStreams, http.MethodPost)
	s.list("/connection/find", access.Read, s.findConnections, http.MethodPost)
	s.list("/connection/find_all", access.Read, s.findAllConnections, http.MethodGet, http.MethodPost)
	s.method("/connection/terminate", access.Control, s.terminateConnection, http.MethodPost)
	s.method("/connection/set_log_level", access.Control, s.setLogLevel, http.MethodPost)
	s.snapshotRoutes()
	s.appRoutes()
	s.callRoutes()
	s.nodeRoutes()
	s.runtimeRoutes()
	s.reportRoutes()
	s.memberRoutes()
	s.tokenRoutes()
	s.keyRoutes()
	s.sessionRoutes()
	s.userRoutes()
	s.auditRoutes()
	s.destinationRoutes()
	s.mediaRoutes()

	s.read("/openapi_specification", access.Read, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(api.OpenAPI)
		return nil
	})
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if err := s.admit(callerOf(r.Context()), someone); err != nil {
			s.refuse(w, r, callerOf(r.Context()), err)
			return
		}
		s.fail(w, r, refusal{http.StatusNotFound, "there is no method with this name; " + prefix + "/openapi_specification lists them"})
	})
}

// Serves says whether a path belongs to this API, however many slashes it has.
func Serves(address string) bool { return strings.HasPrefix(path.Clean(address)+"/", prefix+"/") }

// ServeHTTP answers preflight requests before it asks who sends them, since browsers send them without a credential.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if call := cluster.Forwarded(r.Context()); call != nil {
		s.serveForwarded(w, r, call)
		return
	}
	if err := s.pages.check(w, r); err != nil {
		s.fail(w, r, err)
		return
	}
	r = tidy(r)
	if r.Method == http.MethodOptions {
		s.options(w, r)
		return
	}
	c, err := s.identify("rest", r)
	if err != nil {
		s.refuse(w, r, c, err)
		return
	}
	s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
}

// tidy removes the slash that some clients put at the end of a path, and slashes that they double where they join two parts. The mux
// would redirect such requests, and clients turn a redirected POST into a GET.
func tidy(r *http.Request) *http.Request {
	clean := path.Clean(r.URL.Path)
	if clean == r.URL.Path {
		return r
	}
	again := *r
	u := *r.URL
	u.Path, u.RawPath = clean, ""
	again.URL = &u
	return &again
}

// options answers OPTIONS: a preflight request, or a client that asks for the methods.
func (s *Server) options(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if methods, ok := s.methods[r.URL.Path]; ok {
		h.Set("Allow", allow(methods))
	}
	const allowed, asked = "Access-Control-Allow-Headers", "Access-Control-Request-Headers"
	// A page may send a password though this server needs none.
	if names := h.Get(allowed); names != "" && hasToken(r.Header.Get(asked), "authorization") && !hasToken(names, "authorization") {
		h.Set(allowed, names+",authorization")
	}
	w.WriteHeader(http.StatusNoContent)
}

// allow returns the value of the header Allow.
func allow(methods []string) string {
	return strings.Join(append(slices.Clone(methods), http.MethodOptions), ", ")
}

// hasToken says whether a list that is separated by commas has an entry, in upper or lower case.
func hasToken(list, token string) bool {
	for entry := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(entry), token) {
			return true
		}
	}
	return false
}

// Protect returns a handler that serves by h whoever may read about some streams, and, if h is about all of them, about all.
func (s *Server) Protect(door string, all bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		c, err := s.identify(door, r)
		if err == nil {
			err = s.admit(c, access.Read)
		}
		if err == nil && all {
			err = s.access.Decide(c.principal, c.credential, access.Read, access.Object{})
		}
		if err != nil {
			status, message := outcome(err)
			if status == http.StatusUnauthorized {
				challenge(w.Header(), r, err)
			}
			http.Error(w, message, status)
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// ProtectAdmin returns a handler that serves by h administrators alone, with the guards of the methods of REST for administrators. The audit log has
// each request.
func (s *Server) ProtectAdmin(door string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		if err := s.pages.check(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		c, err := s.identify(door, r)
		if err == nil {
			err = s.admit(c, access.Admin)
		}
		if err == nil && isLetIn(c.principal) {
			err = errLasting
		}
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
		s.recordRequest(r, err)
		if err != nil {
			status, message := outcome(err)
			if status == http.StatusUnauthorized {
				challenge(w.Header(), r, err)
			}
			http.Error(w, message, status)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// MayRead says whether the sender of a request may read about some streams.
func (s *Server) MayRead(door string, r *http.Request) bool {
	c, err := s.identify(door, r)
	return err == nil && access.Has(c.principal, access.Read)
}

// method serves do under a path for callers who have what need says. do gets the fields of the body, and returns the content of the answer,
// nil for none.
func (s *Server) method(path string, need access.Action, do func(context.Context, *fields) (any, error), methods ...string) {
	s.serve(path, need, func(_ http.ResponseWriter, r *http.Request, f *fields) (any, error) {
		if need == access.Admin && isLetIn(principalOf(r.Context())) {
			return nil, errLasting
		}
		return do(r.Context(), f)
	}, methods...)
}

// serve is method for a do that looks at the request itself, or sets headers.
func (s *Server) serve(path string, need access.Action, do func(http.ResponseWriter, *http.Request, *fields) (any, error), methods ...string) {
	s.handle(path, need, methods, func(w http.ResponseWriter, r *http.Request) {
		answer, err := s.call(w, r, func(f *fields) (any, error) {
			if answer, done, err := s.elsewhere(r, path, f); done {
				return answer, err
			}
			answer, err := do(w, r, f)
			if path == "/stream/terminate" {
				err = s.everywhere(w, r, f, err)
			}
			return answer, err
		})
		s.conclude(w, r, answer, err)
		if r, ok := answer.(remote); ok {
			err = r.err()
		}
		if !slices.Contains(methods, http.MethodGet) || !isGet(r) {
			s.recordRequest(r, err)
		}
	})
}

// recordRequest writes a request that may have changed something into the audit log.
func (s *Server) recordRequest(r *http.Request, err error) {
	c := callerOf(r.Context())
	c.line.Do, c.line.OK = strings.TrimPrefix(r.URL.Path, prefix+"/"), err == nil
	if err != nil {
		_, c.line.Why = outcome(err)
	}
	s.record(r.Context(), c.line)
}

// list is method for a do that returns a list, or an error for which the contract demands 404 if there is nothing to list. A client may
// ask for an empty list instead of 404: browsers log each 404 as an error.
func (s *Server) list(path string, need access.Action, do func(context.Context, *fields) (any, error), methods ...string) {
	s.handle(path, need, methods, func(w http.ResponseWriter, r *http.Request) {
		empty := r.URL.Query().Get("empty") == "true"
		answer, err := s.call(w, r, func(f *fields) (any, error) {
			if wish := f.boolean("empty"); wish != nil {
				empty = *wish
			}
			var p page
			if _, ok := gathered[path]; ok {
				var err error
				if p, err = pageOf(r.URL.Query()); err != nil {
					return nil, err
				}
			}
			answer, err := do(r.Context(), f)
			return s.gather(w, r, path, f, p, answer, err)
		})
		if empty && isNothing(err) {
			answer, err = []struct{}{}, nil
		}
		s.conclude(w, r, answer, err)
	})
}

// conclude sends the answer to a request, or the error.
func (s *Server) conclude(w http.ResponseWriter, r *http.Request, answer any, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.log.Debug("rest request", "path", r.URL.Path, "peer", r.RemoteAddr)
	if other, ok := answer.(remote); ok {
		cluster.Reply(other).Write(w)
		return
	}
	if answer != nil {
		s.answer(w, http.StatusOK, answer)
	}
}

// read serves do under a path for GET. do writes the answer itself, unless it returns an error.
func (s *Server) read(path string, need access.Action, do func(http.ResponseWriter, *http.Request) error) {
	s.handle(path, need, []string{http.MethodGet}, func(w http.ResponseWriter, r *http.Request) {
		if err := do(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// handle serves do under a path for the methods, and for HEAD if GET is one of them. Callers who do not have what need says are refused
// before anything else is looked at.
func (s *Server) handle(path string, need access.Action, methods []string, do http.HandlerFunc) {
	if get := slices.Index(methods, http.MethodGet); get >= 0 {
		methods = slices.Insert(slices.Clone(methods), get+1, http.MethodHead)
	}
	s.methods[prefix+path] = methods
	s.mux.HandleFunc(prefix+path, func(w http.ResponseWriter, r *http.Request) {
		c := callerOf(r.Context())
		if err := s.admit(c, need); err != nil {
			s.refuse(w, r, c, err)
			if !isGet(r) {
				s.recordRequest(r, err)
			}
			return
		}
		if s.allowed(w, r, methods...) {
			do(w, r)
		}
	})
}

func (s *Server) call(w http.ResponseWriter, r *http.Request, do func(*fields) (any, error)) (any, error) {
	var body []byte
	if r.Method == http.MethodPost {
		var err error
		if body, err = readBody(w, r); err != nil {
			return nil, err
		}
	}
	f, err := parseFields(body)
	if err != nil {
		return nil, err
	}
	f.body = body
	answer, err := do(f)
	if s.log.Enabled(r.Context(), slog.LevelDebug) {
		if unknown := f.rest(); len(unknown) > 0 {
			s.log.Debug("rest request with unknown fields", "path", r.URL.Path, "fields", unknown)
		}
	}
	return answer, err
}

// readBody reads the body of a request, whatever its content type: jQuery sends JSON as a form.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// Errors are ignored, since not every ResponseWriter has deadlines. The deadline must be removed after reading: a deadline that
	// passes later cancels the request.
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()

	body, err := readEncoded(http.MaxBytesReader(w, r.Body, maxBody), r.Header)
	var own refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return nil, own
	case errors.As(err, &tooLarge), errors.Is(err, errInflated):
		return nil, refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refusal{http.StatusRequestTimeout, fmt.Sprintf("the body did not come within %v", bodyTimeout)}
	case err != nil:
		return nil, refusal{http.StatusBadRequest, "the body ended before its announced length"}
	}
	return body, nil
}

// errInflated means that a body is too large after it was decompressed.
var errInflated = errors.New("the body is too large")

// readEncoded reads a body that may be compressed by gzip. Other codings are refused.
func readEncoded(body io.Reader, h http.Header) ([]byte, error) {
	switch coding := strings.ToLower(strings.TrimSpace(strings.Join(h.Values("Content-Encoding"), ","))); coding {
	case "", "identity":
		return io.ReadAll(body)
	case "gzip", "x-gzip":
	default:
		return nil, refusal{http.StatusUnsupportedMediaType, fmt.Sprintf("Content-Encoding %q is not supported: use gzip, or none", shorten(coding))}
	}
	unzip, err := gzip.NewReader(body)
	if err != nil {
		return nil, notZipped(err)
	}
	plain, err := io.ReadAll(io.LimitReader(unzip, maxBody+1))
	switch {
	case err != nil:
		return nil, notZipped(err)
	case len(plain) > maxBody:
		return nil, errInflated
	}
	return plain, nil
}

// notZipped returns the error for a body that gzip cannot read. Errors of the connection are returned as they are.
func notZipped(err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refusal{http.StatusBadRequest, "the body is not gzip, as Content-Encoding says"}
	}
	return err
}

// allowed says whether the method of the request is one of the methods. If not, it answers 405.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", allow(methods))
	s.fail(w, r, refusal{http.StatusMethodNotAllowed, "use " + strings.Join(methods, " or ")})
	return false
}

func (s *Server) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // people read the addresses
	if err := e.Encode(v); err != nil {
		s.log.Debug("rest answer not delivered", "err", err)
	}
}
