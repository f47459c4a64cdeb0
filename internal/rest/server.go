package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"transponder/api"
	"transponder/internal/guard"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// Pushes does what requests ask about pushes. transponder.Registry is one.
type Pushes interface {
	Start(ctx context.Context, req transponder.Request) (transponder.Info, error)
	Find(f transponder.Filter) []transponder.Info
	Terminate(ctx context.Context, id string) error
	Mute(id string, on bool) error
	SoundOn(id, file string, loop bool) error
	SoundOff(id string) error
	History(n int) []transponder.Info // of those that are over, at most n, the newest first
}

// Streams lists the streams, oldest first. stream.Hub is one.
type Streams interface {
	Sources() []*stream.Source
}

// Events is what happened to pushes, to be read from any number on. transponder.Journal is one.
type Events interface {
	Since(ctx context.Context, after uint64, dst []transponder.Event) (n int, missed uint64, err error)
	Last() uint64
	Run() string
}

// Parts are those who do the work.
type Parts struct {
	Pushes      Pushes
	Streams     Streams
	Events      Events
	Connections Connections
	Players     Players
	Guard       *guard.Guard // nil: one that knows no names of this server
}

const (
	// prefix is where the API lives.
	prefix = "/rest-api"

	// maxBody is far above any request: terminating ten thousand streams by their ids takes half of it.
	maxBody = 1 << 20

	// bodyTimeout is how long a client may take to send its request.
	bodyTimeout = 10 * time.Second

	contentType = "application/json;charset=UTF-8"
)

// Server is the handler of everything under the prefix.
type Server struct {
	parts Parts
	log   *slog.Logger

	access access
	users  *users // nil: everybody may
	nodeID string
	mux    *http.ServeMux

	followers followers
}

// New makes the handler for /rest-api/. It fails if cfg is not valid or the file of users cannot be read.
func New(cfg Config, parts Parts, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	access, err := cfg.access("rest", parts.Guard)
	if err != nil {
		return nil, err
	}
	s := &Server{
		parts: parts, log: log, access: access, nodeID: cfg.NodeID, mux: http.NewServeMux(),
	}
	if access.origins.Any() {
		log.Warn("pages of every host may use the REST API through their visitors' browsers: name those that may in rest_access_control_allow_origin")
	}
	if cfg.Auth {
		text, err := os.ReadFile(cfg.UsersFile)
		if err != nil {
			return nil, fmt.Errorf("read rest_users_file: %w", err)
		}
		if s.users, err = parseUsers(string(text)); err != nil {
			return nil, fmt.Errorf("rest_users_file %s: %w", cfg.UsersFile, err)
		}
	}
	s.routes()
	return s, nil
}

func (s *Server) routes() {
	s.method("/push/startup", s.startPush, http.MethodPost)
	s.method("/push/find", s.findPushes, http.MethodPost)
	s.method("/push/find_all", s.findAllPushes, http.MethodGet, http.MethodPost)
	s.method("/push/terminate", s.terminatePush, http.MethodPost)
	s.read("/push/history", s.pushHistory)
	s.read("/push/events", s.followPushes)
	s.method("/push/mute", s.mutePush(true), http.MethodPost)
	s.method("/push/unmute", s.mutePush(false), http.MethodPost)
	s.method("/push/sound_on", s.soundOn, http.MethodPost)
	s.method("/push/sound_off", s.soundOff, http.MethodPost)
	s.method("/stream/find", s.findStreams, http.MethodPost)
	s.method("/stream/find_all", s.findAllStreams, http.MethodGet, http.MethodPost)
	s.method("/stream/terminate", s.terminateStreams, http.MethodPost)
	s.method("/connection/find", s.findConnections, http.MethodPost)
	s.method("/connection/find_all", s.findAllConnections, http.MethodGet, http.MethodPost)
	s.method("/connection/terminate", s.terminateConnection, http.MethodPost)
	s.method("/connection/set_log_level", s.setLogLevel, http.MethodPost)
	s.notImplemented("/call/", "SIP calls are not available yet")

	s.read("/openapi_specification", func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(api.OpenAPI)
		return nil
	})
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, refusal{http.StatusNotFound, "there is no method of that name; " + prefix + "/openapi_specification lists them"})
	})
}

// ServeHTTP answers preflights before it asks who is there: browsers send them without credentials.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.access.check(w, r, s.users != nil); err != nil {
		s.fail(w, r, err)
		return
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if s.users != nil {
		name, password, given := r.BasicAuth()
		if !given || !s.users.admit(name, password) {
			if given {
				s.log.Warn("rest login refused", "peer", r.RemoteAddr)
			}
			challenge(w, r)
			s.fail(w, r, refusal{http.StatusUnauthorized, "a valid user name and password are needed"})
			return
		}
	}
	s.mux.ServeHTTP(w, r)
}

// challenge asks for a name and a password. Browsers are not asked: what a person tells a browser in answer goes out with whatever
// other pages send here, too. Our pages ask by themselves.
func challenge(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Mode") == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="rest-api", charset="UTF-8"`)
	}
}

// method serves do under a path: the body's fields go in, and what comes out is the answer, nil for none.
func (s *Server) method(path string, do func(context.Context, *fields) (any, error), methods ...string) {
	s.mux.HandleFunc(prefix+path, func(w http.ResponseWriter, r *http.Request) {
		if !s.allowed(w, r, methods...) {
			return
		}
		answer, err := s.call(w, r, do)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.log.Debug("rest request", "path", r.URL.Path, "peer", r.RemoteAddr)
		if answer != nil {
			s.answer(w, http.StatusOK, answer)
		}
	})
}

// read serves do under a path for GET: it answers by itself unless it returns an error.
func (s *Server) read(path string, do func(http.ResponseWriter, *http.Request) error) {
	s.mux.HandleFunc(prefix+path, func(w http.ResponseWriter, r *http.Request) {
		if !s.allowed(w, r, http.MethodGet) {
			return
		}
		if err := do(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

func (s *Server) call(w http.ResponseWriter, r *http.Request, do func(context.Context, *fields) (any, error)) (any, error) {
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
	answer, err := do(r.Context(), f)
	if unknown := f.rest(); len(unknown) > 0 {
		s.log.Debug("rest request with unknown fields", "path", r.URL.Path, "fields", unknown)
	}
	return answer, err
}

// readBody reads a request's body, whatever its content type says: jQuery calls JSON a form.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// Not every ResponseWriter has deadlines. The second call matters: a deadline that passes later cancels the request.
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()

	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refusal{http.StatusRequestTimeout, fmt.Sprintf("the body did not come within %v", bodyTimeout)}
	case err != nil:
		return nil, refusal{http.StatusBadRequest, "the body ended before its announced length"}
	}
	return body, nil
}

// notImplemented answers 501 under a path, to any method.
func (s *Server) notImplemented(path, message string) {
	s.mux.HandleFunc(prefix+path, func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, refusal{http.StatusNotImplemented, message})
	})
}

// allowed answers 405 if the request's method is none of those, and says whether it is one.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", ")+", "+http.MethodOptions)
	s.fail(w, r, refusal{http.StatusMethodNotAllowed, "use " + strings.Join(methods, " or ")})
	return false
}

func (s *Server) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // addresses are to be read by people, too
	if err := e.Encode(v); err != nil {
		s.log.Debug("rest answer not delivered", "err", err)
	}
}
