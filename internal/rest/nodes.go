package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"transponder/internal/access"
	"transponder/internal/cluster"
	"transponder/internal/transponder"
)

// Nodes reaches the other servers of the cluster. *cluster.Router is one.
//
// The server that a client asks finds out who the client is. If the request is about something that another server has, that server gets the
// whole request, with who has sent it, and answers as if it had been asked itself. Lists are gathered from all servers.
type Nodes interface {
	// Ready is nil if this server knows which others live.
	Ready() error
	Ask(ctx context.Context, to cluster.Owner, c cluster.Call) (cluster.Reply, error)
	AskAll(ctx context.Context, c cluster.Call) (replies []cluster.Reply, missing []string)
	Locate(ctx context.Context, k cluster.Kind, id string) (at cluster.Owner, found bool, missing []string)
}

// Orphans are pushes that no living server runs. *cluster.Orphans has them.
type Orphans interface {
	// Find returns, from their records, the pushes that nobody runs, and those of servers that live but are missing.
	Find(ctx context.Context, f transponder.Filter, missing []string) ([]transponder.Info, error)
	// Terminate ends a push that nobody runs. It fails with transponder.ErrNotFound, ErrDuplicate or ErrIsolated.
	Terminate(ctx context.Context, id string) error
}

// errOrphan is the answer to a request to change a push that nobody runs.
var errOrphan = refusal{http.StatusConflict, "No server runs this push now: it waits for its publisher. It can only be ended"}

// missingHeader names the servers that should have answered, and did not.
const missingHeader = "Transponder-Missing"

// about is what a request names.
type about struct {
	member string // of the body
	kind   cluster.Kind
}

// abouts are what the methods are about that another server may have to answer, by path.
var abouts = map[string]about{
	"/push/startup":                 {"streamName", cluster.KindStream},
	"/node/drain":                   {"nodeId", cluster.KindNode},
	"/node/resume":                  {"nodeId", cluster.KindNode},
	"/connection/terminate":         {"sessionId", cluster.KindPage},
	"/connection/set_log_level":     {"sessionId", cluster.KindPage},
	"/call/terminate":               {"callId", cluster.KindCall},
	"/call/send_dtmf":               {"callId", cluster.KindCall},
	"/call/inject_sound":            {"callId", cluster.KindCall},
	"/call/inject_stream":           {"callId", cluster.KindCall},
	"/call/inject_stream/startup":   {"callId", cluster.KindCall},
	"/call/inject_stream/terminate": {"callId", cluster.KindCall},
}

// aboutOf returns what the method with a path is about. All methods below /push are about a push, but for the start of one.
func aboutOf(path string) (about, bool) {
	if a, ok := abouts[path]; ok {
		return a, true
	}
	return about{"mediaSessionId", cluster.KindPush}, strings.HasPrefix(path, "/push/")
}

// gathered are the lists that all servers contribute to, with the member that identifies an entry.
var gathered = map[string]string{
	"/push/find": "mediaSessionId", "/push/find_all": "mediaSessionId",
	"/stream/find": "mediaSessionId", "/stream/find_all": "mediaSessionId",
	"/connection/find": "sessionId", "/connection/find_all": "sessionId",
	"/call/find": "callId", "/call/find_all": "callId",
}

// isClustered says whether a request of a client may concern other servers. A request that another server has handed over does not.
func (s *Server) isClustered(ctx context.Context) bool {
	return s.parts.Nodes != nil && cluster.Forwarded(ctx) == nil
}

// peek returns a field without taking it; "" if it is absent or no string.
func (f *fields) peek(name string) string {
	v := f.raw[name]
	if len(v) == 0 {
		return ""
	}
	text, _ := scalar(v)
	return text
}

// remote is an answer that another server has made.
type remote cluster.Reply

// err returns the error that the audit log is told; nil if the answer says that all went well.
func (r remote) err() error {
	if r.Status < http.StatusBadRequest {
		return nil
	}
	var b errorBody
	_ = json.Unmarshal(r.Body, &b)
	return refusal{r.Status, b.Message}
}

// elsewhere has another server answer the request if that server has what the request is about. done is false if this server is to answer.
func (s *Server) elsewhere(r *http.Request, path string, f *fields) (_ any, done bool, err error) {
	ctx := r.Context()
	if !s.isClustered(ctx) {
		return nil, false, nil
	}
	if path == "/stream/terminate" {
		return nil, false, nil // see everywhere
	}
	what, ok := aboutOf(path)
	id := f.peek(what.member)
	if path == "/push/retry" {
		if what, id, err = s.aboutOver(ctx, f); err != nil {
			return nil, true, err
		}
	}
	if !ok || id == "" || s.hasHere(what.kind, id) {
		return nil, false, nil
	}
	at, found, missing := s.parts.Nodes.Locate(ctx, what.kind, id)
	if found {
		reply, err := s.parts.Nodes.Ask(ctx, at, s.newCall(r, f.body))
		if err != nil {
			return nil, true, notHeard(err)
		}
		return remote(reply), true, nil
	}
	if what.kind == cluster.KindPush {
		orphan, err := s.orphan(ctx, id)
		if err != nil {
			return nil, true, err
		}
		if orphan != nil {
			return nil, false, nil
		}
	}
	if len(missing) > 0 {
		return nil, true, notHeard(fmt.Errorf("node %s: %w", strings.Join(missing, ", "), cluster.ErrNoAnswer))
	}
	if err := s.parts.Nodes.Ready(); err != nil {
		return nil, true, refusal{http.StatusServiceUnavailable, err.Error()}
	}
	return nil, false, nil
}

// notHeard returns the error for a client if another server did not answer.
func notHeard(err error) error {
	if errors.Is(err, cluster.ErrGone) || errors.Is(err, cluster.ErrNoAnswer) {
		return refusal{http.StatusServiceUnavailable, "the server that must do this does not answer: " + err.Error()}
	}
	return err
}

// hasHere says whether this server has what a request is about.
func (s *Server) hasHere(k cluster.Kind, id string) bool {
	return s.parts.HasHere == nil || s.parts.HasHere(k, id)
}

// orphan returns a push that no server runs, nil if it is none.
func (s *Server) orphan(ctx context.Context, id string) (*transponder.Info, error) {
	if s.parts.Orphans == nil {
		return nil, nil
	}
	found, err := s.parts.Orphans.Find(ctx, transponder.Filter{ID: id}, nil)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// everywhere has all other servers do what this server has just done, with the error err. It fails like a server that has failed, but not
// if another one has found something.
func (s *Server) everywhere(w http.ResponseWriter, r *http.Request, f *fields, err error) error {
	if !s.isClustered(r.Context()) || err != nil && !isNothing(err) {
		return err
	}
	replies, missing := s.parts.Nodes.AskAll(r.Context(), s.newCall(r, f.body))
	setMissing(w, missing)
	for _, reply := range replies {
		switch bad := remote(reply).err(); {
		case bad == nil:
			if isNothing(err) {
				err = nil
			}
		case reply.Status != http.StatusNotFound:
			return bad
		}
	}
	if isNothing(err) && len(missing) > 0 {
		return notHeard(fmt.Errorf("node %s: %w", strings.Join(missing, ", "), cluster.ErrNoAnswer))
	}
	return err
}

// setMissing names the servers that did not answer.
func setMissing(w http.ResponseWriter, missing []string) {
	if len(missing) > 0 {
		slices.Sort(missing)
		w.Header().Set(missingHeader, strings.Join(missing, ", "))
	}
}

// page is a part of a list that a client asks for.
type page struct {
	limit uint64 // 0: all
	after string // the id of the last entry of the page before
}

// pageOf returns what the parameters limit and after of a request ask for.
func pageOf(query url.Values) (p page, err error) {
	p.after = query.Get("after")
	if p.limit, err = count(query, "limit", 0); err == nil && p.limit == 0 && query.Has("limit") {
		err = &transponder.RequestError{Field: "limit", Reason: "it must be at least 1"}
	}
	return p, err
}

// entry is an entry of a list, with its id.
type entry struct {
	id   string
	text json.RawMessage
}

// entries returns the entries of a list in JSON, each with the member that identifies it.
func entries(list []byte, member string) ([]entry, error) {
	var texts []json.RawMessage
	if err := json.Unmarshal(list, &texts); err != nil {
		return nil, err
	}
	all := make([]entry, 0, len(texts))
	for _, text := range texts {
		var ids map[string]json.RawMessage
		var id string
		if err := json.Unmarshal(text, &ids); err != nil {
			return nil, err
		}
		_ = json.Unmarshal(ids[member], &id)
		all = append(all, entry{id, text})
	}
	return all, nil
}

// gather adds the lists of all other servers to the answer of this server, and cuts the page out that the client asks for. An entry that two
// servers have is taken from the first: this server comes first, then the others by name.
func (s *Server) gather(w http.ResponseWriter, r *http.Request, path string, f *fields, p page, answer any, err error) (any, error) {
	member, ok := gathered[path]
	asks := ok && s.isClustered(r.Context())
	if !ok || err != nil && !isNothing(err) || !asks && p == (page{}) {
		return answer, err
	}
	var list []entry
	var unknown error // why nobody can say whether there is more
	if err == nil {
		text, bad := json.Marshal(answer)
		if bad == nil {
			list, bad = entries(text, member)
		}
		if bad != nil {
			return nil, bad
		}
	}
	if asks {
		c := s.newCall(r, f.body)
		c.Changes = false
		replies, missing := s.parts.Nodes.AskAll(r.Context(), c)
		setMissing(w, missing)
		slices.SortFunc(replies, func(a, b cluster.Reply) int { return cmp.Compare(a.Node, b.Node) })
		for _, reply := range replies {
			if reply.Status == http.StatusNotFound {
				continue
			}
			if bad := remote(reply).err(); bad != nil {
				return nil, bad
			}
			more, bad := entries(reply.Body, member)
			if bad != nil {
				return nil, fmt.Errorf("list of node %s: %w", reply.Node, bad)
			}
			list = append(list, more...)
		}
		more, bad := s.fromRecords(r.Context(), f, path, missing)
		list = append(list, more...)
		if bad != nil && len(missing) > 0 {
			unknown = notHeard(fmt.Errorf("node %s: %w", strings.Join(missing, ", "), cluster.ErrNoAnswer))
		}
	}
	list = p.cut(unique(list))
	if len(list) == 0 && unknown != nil {
		return nil, unknown
	}
	if len(list) == 0 {
		return nil, cmp.Or(err, error(nothingFor[path]))
	}
	texts := make([]json.RawMessage, len(list))
	for i, e := range list {
		texts[i] = e.text
	}
	return texts, nil
}

// nothingFor is the answer if a list is empty, by path.
var nothingFor = map[string]refusal{
	"/push/find": errNoPush, "/push/find_all": errNoPush, "/stream/find": errNoStream, "/stream/find_all": errNoStream,
	"/connection/find": errNoConnection, "/connection/find_all": errNoConnection, "/call/find": errNoCall, "/call/find_all": errNoCall,
}

// unique leaves the first of the entries with one id.
func unique(list []entry) []entry {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(e entry) bool {
		again := e.id != "" && seen[e.id]
		seen[e.id] = true
		return again
	})
}

// cut returns the page of a list. Pages are in the order of the ids, so that entries that come and go move no others from one page to
// another.
func (p page) cut(list []entry) []entry {
	if p == (page{}) {
		return list
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.id, b.id) })
	first, found := slices.BinarySearchFunc(list, p.after, func(e entry, id string) int { return cmp.Compare(e.id, id) })
	if found {
		first++
	}
	list = list[first:]
	if p.limit > 0 && uint64(len(list)) > p.limit {
		list = list[:p.limit]
	}
	return list
}

// fromRecords returns the pushes that no server runs, and those of servers that did not answer, as they were written last.
func (s *Server) fromRecords(ctx context.Context, f *fields, path string, missing []string) ([]entry, error) {
	if s.parts.Orphans == nil || !strings.HasPrefix(path, "/push/") {
		return nil, nil
	}
	pushes, err := s.parts.Orphans.Find(ctx, f.pushes, missing)
	if err != nil {
		s.log.Warn("the records of pushes cannot be read", "err", err)
	}
	var list []entry
	for _, b := range s.pushBodies(ctx, pushes) {
		if text, err := json.Marshal(b); err == nil {
			list = append(list, entry{b.MediaSessionID, text})
		}
	}
	return list, err
}

// callerBody is who has sent a request, for the server that answers it in place of this one.
type callerBody struct {
	Principal *access.Principal `json:"principal"`
	Door      string            `json:"door"`
	Peer      netip.Addr        `json:"peer"`
	Local     bool              `json:"local,omitempty"`
	Origin    string            `json:"origin,omitempty"`
}

// newCall hands a request over. A request for a list is repeated if it changes nothing.
func (s *Server) newCall(r *http.Request, body []byte) cluster.Call {
	c := cluster.NewCall(r, body, "User-Agent")
	who := callerOf(r.Context())
	text, err := json.Marshal(callerBody{who.principal, who.credential.Door, who.credential.Peer, who.credential.Local, who.credential.Origin})
	if err != nil { // a principal is made of texts, numbers and times
		s.log.Error("a request cannot be handed over", "err", err)
	}
	c.Caller = text
	return c
}

// serveForwarded answers a request that another server has handed over. That server has found out who sends the request.
func (s *Server) serveForwarded(w http.ResponseWriter, r *http.Request, call *cluster.Call) {
	var b callerBody
	if err := call.ReadCaller(&b); err != nil || b.Principal == nil {
		s.fail(w, r, refusal{http.StatusBadRequest, "the request was handed over without its sender"})
		return
	}
	c := &caller{principal: b.Principal, credential: access.Credential{Door: b.Door, Peer: b.Peer, Local: b.Local, Origin: b.Origin}}
	s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
}
