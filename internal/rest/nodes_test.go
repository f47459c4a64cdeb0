package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/cluster"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// wire joins the servers of a test in memory, as NATS does.
type wire struct {
	mu    sync.Mutex
	peers map[cluster.Owner]*wirePeer // guarded by mu; nil: a process that does not answer
	ready error                       // guarded by mu
}

type wirePeer struct {
	wire  *wire
	me    cluster.Owner
	verbs map[string]func(context.Context, []byte) ([]byte, error)
}

func (w *wire) join(node string) *wirePeer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.peers == nil {
		w.peers = map[cluster.Owner]*wirePeer{}
	}
	p := &wirePeer{w, cluster.Owner{Node: node, Incarnation: "1"}, map[string]func(context.Context, []byte) ([]byte, error){}}
	w.peers[p.me] = p
	return p
}

func (w *wire) set(node string, p *wirePeer, ready error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peers[cluster.Owner{Node: node, Incarnation: "1"}], w.ready = p, ready
}

func (p *wirePeer) Me() cluster.Owner { return p.me }

func (p *wirePeer) Informed() error {
	p.wire.mu.Lock()
	defer p.wire.mu.Unlock()
	return p.wire.ready
}

func (p *wirePeer) Nodes() []cluster.Node {
	p.wire.mu.Lock()
	defer p.wire.mu.Unlock()
	var all []cluster.Node
	for o := range p.wire.peers {
		all = append(all, cluster.Node{Owner: o})
	}
	return all
}

func (p *wirePeer) Handle(verb string, f func(context.Context, []byte) ([]byte, error)) {
	p.verbs[verb] = f
}

func (p *wirePeer) Request(ctx context.Context, to cluster.Owner, verb string, body []byte) ([]byte, error) {
	p.wire.mu.Lock()
	other := p.wire.peers[to]
	p.wire.mu.Unlock()
	if other == nil {
		return nil, cluster.ErrGone
	}
	return other.verbs[verb](ctx, body)
}

// node is a server of the cluster.
type node struct {
	*httptest.Server
	pushes   *fakePushes
	sessions *fakeSessions
	hub      *stream.Hub
	peer     *wirePeer
	orphans  *fakeOrphans
}

// fakeOrphans knows the pushes of missing nodes, and those of nodes that are gone.
type fakeOrphans struct {
	mu    sync.Mutex
	gone  []transponder.Info // guarded by mu
	ended []string           // guarded by mu
	err   error              // guarded by mu
}

func (o *fakeOrphans) set(err error, gone ...transponder.Info) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone, o.err = gone, err
}

func (o *fakeOrphans) Find(_ context.Context, f transponder.Filter, missing []string) ([]transponder.Info, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := slices.Clone(o.gone)
	for _, name := range missing {
		list = append(list, transponder.Info{ID: "push-" + name, SourceName: "cam-" + name, Node: name, State: transponder.Live, Stale: true})
	}
	return slices.DeleteFunc(list, func(i transponder.Info) bool {
		return f.ID != "" && f.ID != i.ID || f.StreamName != "" && f.StreamName != i.SourceName
	}), o.err
}

func (o *fakeOrphans) Terminate(_ context.Context, id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = append(o.ended, id)
	return o.err
}

// newNodes makes servers that have one stream, one push and one session each, which are named like the server.
func newNodes(t *testing.T, names ...string) (*wire, map[string]*node) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := state.Memory(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	w, all := &wire{}, map[string]*node{}
	for i, name := range names {
		n := &node{
			pushes: &fakePushes{
				list: []transponder.Info{{ID: "push-" + name, SourceName: "cam-" + name, State: transponder.Live}},
				over: []transponder.Info{{ID: "over-" + name, SourceName: "cam-" + name, Ended: pushTime.Add(time.Duration(i) * time.Second)}},
			},
			sessions: &fakeSessions{connections: []Connection{{SessionID: "page-" + name, Created: pushTime}}},
			hub:      stream.NewHub(stream.DefaultConfig(), nil), peer: w.join(name), orphans: &fakeOrphans{},
		}
		publish(t, n.hub, stream.Info{Name: "cam-" + name, ID: "id-" + name})
		router := cluster.NewRouter(n.peer, store.Sealer(), log)
		cfg := DefaultConfig()
		cfg.NodeID = name
		has := func(k cluster.Kind, id string) bool {
			return id == map[cluster.Kind]string{
				cluster.KindPush: "push-", cluster.KindStream: "cam-", cluster.KindPage: "page-",
			}[k]+name
		}
		for _, k := range []cluster.Kind{cluster.KindPush, cluster.KindStream, cluster.KindPage} {
			router.Has(k, func(id string) bool { return has(k, id) })
		}
		h, err := New(cfg, Parts{
			Pushes: n.pushes, Streams: n.hub, Thumbnail: fakeThumbnail(nil), Events: newFakeEvents(0), Connections: n.sessions, Players: n.sessions, Nodes: router, HasHere: has,
			Orphans: n.orphans, Past: func(int) []*transponder.Info {
				return []*transponder.Info{
					{ID: "over-z", SourceName: "cam-z", Node: "z", Ended: pushTime.Add(time.Hour)}, {ID: "over-a", SourceName: "cam-a", Node: "a", Ended: pushTime},
				}
			},
		}, log)
		if err != nil {
			t.Fatal(err)
		}
		router.Serve(h)
		n.Server = httptest.NewServer(h)
		t.Cleanup(func() {
			h.Close()
			n.Close()
		})
		all[name] = n
	}
	return w, all
}

// field returns a member of each object in a list.
func field(t *testing.T, list []byte, name string) []string {
	t.Helper()
	var objects []map[string]any
	if err := json.Unmarshal(list, &objects); err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	var values []string
	for _, o := range objects {
		values = append(values, fmt.Sprint(o[name]))
	}
	return values
}

func TestNodesAnswerForEachOther(t *testing.T) {
	_, nodes := newNodes(t, "a", "b", "c")
	b := nodes["b"].Server
	started := post(t, b, "/rest-api/push/startup", `{"streamName":"cam-a","rtmpUrl":"rtmp://host/app/key","options":{"action":"mute"}}`)
	started.wantStatus(t, 200)
	if nodes["a"].pushes.count() != 1 || nodes["b"].pushes.count() != 0 {
		t.Errorf("a has started %d pushes, b %d; want 1 and 0", nodes["a"].pushes.count(), nodes["b"].pushes.count())
	}
	if req := nodes["a"].pushes.last(t); req.By == nil || req.By.Kind != access.Local || !req.By.IsAdmin() || req.URL != "rtmp://host/app/key" || req.Options.Action != "mute" {
		t.Errorf("a was asked for %+v by %v; want what b was asked for, by somebody local", req, req.By)
	}
	if got := field(t, append(append([]byte{'['}, started.body...), ']'), "nodeId"); got[0] != "a" {
		t.Errorf("the answer names node %q, want a", got[0])
	}
	for _, tt := range []struct {
		path, body string
		status     int
	}{
		{"push/mute", `{"mediaSessionId":"push-c"}`, 200},
		{"push/sound_on", `{"mediaSessionId":"push-c","soundFile":"a.wav"}`, 200},
		{"push/mute", `{"mediaSessionId":"nobody"}`, 404},
		{"push/terminate", `{"mediaSessionId":"push-c"}`, 200},
		{"push/terminate", `{"mediaSessionId":"push-c"}`, 404},                           // what c says
		{"push/startup", `{"streamName":"nobody","rtmpUrl":"rtmp://host/app/key"}`, 200}, // the fakes start everything
		{"connection/terminate", `{"sessionId":"page-c"}`, 200},
		{"connection/terminate", `{"sessionId":"page-nobody"}`, 404},
		{"connection/set_log_level", `{"sessionId":"page-a","logLevel":"DEBUG"}`, 200},
		{"stream/terminate", `{"name":"cam-c"}`, 200},
		{"stream/terminate", `{"name":"cam-c"}`, 404},
	} {
		if got := post(t, b, "/rest-api/"+tt.path, tt.body); got.StatusCode != tt.status {
			t.Errorf("%s %s: %d %s, want %d", tt.path, tt.body, got.StatusCode, got.body, tt.status)
		}
	}
	if got := nodes["c"].sessions.terminated; !slices.Equal(got, []string{"page-c"}) {
		t.Errorf("c has ended the sessions %q, want page-c", got)
	}
	if got := nodes["a"].sessions.levels["page-a"]; got != slog.LevelDebug {
		t.Errorf("the level of page-a is %v, want debug", got)
	}
	if _, still := nodes["c"].hub.Source("cam-c"); still {
		t.Error("cam-c goes on")
	}
}

func TestNodesGatherLists(t *testing.T) {
	_, nodes := newNodes(t, "a", "b", "c")
	b := nodes["b"].Server
	for _, tt := range []struct{ path, body, member, want string }{
		{"push/find_all", ``, "mediaSessionId", "push-b push-a push-c"},
		{"push/find_all", ``, "nodeId", "b a c"},
		{"push/find", `{"streamName":"cam-c"}`, "mediaSessionId", "push-c"},
		{"push/find_all?limit=2", ``, "mediaSessionId", "push-a push-b"},
		{"push/find_all?limit=2&after=push-b", ``, "mediaSessionId", "push-c"},
		{"stream/find_all", ``, "name", "cam-b cam-a cam-c"},
		{"stream/find", `{"name":"cam-a"}`, "mediaSessionId", "id-a"},
		{"connection/find_all", ``, "sessionId", "page-b page-a page-c"},
		{"connection/find", `{"sessionId":"page-c"}`, "nodeId", "c"},
	} {
		r := post(t, b, "/rest-api/"+tt.path, tt.body)
		r.wantStatus(t, 200)
		if got := strings.Join(field(t, r.body, tt.member), " "); got != tt.want {
			t.Errorf("%s %s: %s = %q, want %q", tt.path, tt.body, tt.member, got, tt.want)
		}
	}
	r := get(t, b, "/rest-api/push/history?limit=2")
	if got := strings.Join(field(t, r.body, "mediaSessionId"), " "); got != "over-z over-c" {
		t.Errorf("history = %q, want the newest two of all nodes, also of those that are gone", got)
	}
	r = get(t, b, "/rest-api/push/history")
	if got := strings.Join(field(t, r.body, "nodeId"), " "); got != "z c b a" {
		t.Errorf("history of the nodes %q, want each push once", got)
	}
	if r := get(t, b, "/rest-api/push/find_all?limit=1&after=push-c"); r.StatusCode != 404 {
		t.Errorf("the page after the last entry: %d, want 404", r.StatusCode)
	}
	if r := get(t, b, "/rest-api/push/find_all?limit=0"); r.StatusCode != 400 {
		t.Errorf("limit 0: %d, want 400", r.StatusCode)
	}
}

// While a server does not answer, lists name it, its pushes are shown as they were written, and what may be there is not said to be nowhere.
func TestNodesThatDoNotAnswer(t *testing.T) {
	w, nodes := newNodes(t, "a", "b", "c")
	b, c := nodes["b"].Server, nodes["c"].peer
	w.set("c", nil, nil)
	list, err := http.Get(b.URL + "/rest-api/push/find_all")
	if err != nil {
		t.Fatal(err)
	}
	list.Body.Close()
	if got := list.Header.Get("Transponder-Missing"); got != "c" {
		t.Errorf("Transponder-Missing = %q, want c", got)
	}
	r := get(t, b, "/rest-api/push/find_all")
	if ids, stale := field(t, r.body, "mediaSessionId"), field(t, r.body, "stale"); !slices.Equal(ids, []string{"push-b", "push-a", "push-c"}) ||
		!slices.Equal(stale, []string{"<nil>", "<nil>", "true"}) {
		t.Errorf("pushes %q, stale %q; want the one of c last and stale", ids, stale)
	}
	for _, tt := range []struct {
		path, body string
		status     int
	}{
		{"push/terminate", `{"mediaSessionId":"push-c"}`, 503},
		{"push/startup", `{"streamName":"cam-c","rtmpUrl":"rtmp://host/app/key"}`, 503},
		{"connection/terminate", `{"sessionId":"page-c"}`, 503},
		{"stream/terminate", `{"name":"cam-c"}`, 503},
		{"push/mute", `{"mediaSessionId":"push-a"}`, 200},
		{"push/mute", `{"mediaSessionId":"push-b"}`, 200},
	} {
		if got := post(t, b, "/rest-api/"+tt.path, tt.body); got.StatusCode != tt.status {
			t.Errorf("%s %s: %d %s, want %d", tt.path, tt.body, got.StatusCode, got.body, tt.status)
		}
	}
	for err, status := range map[error]int{nil: 404, transponder.ErrIsolated: 503} { // with the second nobody can say that there is none
		nodes["b"].orphans.set(err)
		if got := post(t, b, "/rest-api/push/find", `{"streamName":"nobody's"}`); got.StatusCode != status {
			t.Errorf("pushes of a stream that a silent server may have; its records: %v: %d %s, want %d", err, got.StatusCode, got.body, status)
		}
	}
	nodes["b"].orphans.set(nil)
	w.set("c", c, fmt.Errorf("this server is cut off"))
	if got := post(t, b, "/rest-api/push/mute", `{"mediaSessionId":"nobody"}`); got.StatusCode != 503 || !strings.Contains(string(got.body), "cut off") {
		t.Errorf("a push that may be elsewhere, while b is cut off: %d %s, want 503", got.StatusCode, got.body)
	}
}

// A push whose server is gone is listed by every server, once, in its place on the pages, and can be ended there, but not changed.
func TestPushesWithoutAServer(t *testing.T) {
	_, nodes := newNodes(t, "a", "b")
	b, orphans := nodes["b"].Server, nodes["b"].orphans
	orphans.set(nil, transponder.Info{ID: "push-aa", SourceName: "cam-z", Node: "z", State: transponder.Awaiting, Stale: true, Owner: "somebody"},
		transponder.Info{ID: "push-a", SourceName: "cam-a", Node: "z", State: transponder.Awaiting, Stale: true}) // a has taken it meanwhile
	for _, tt := range []struct{ path, body, want string }{
		{"push/find_all", ``, "push-b push-a push-aa"},
		{"push/find_all?limit=2", ``, "push-a push-aa"},
		{"push/find", `{"streamName":"cam-z"}`, "push-aa"},
		{"push/find", `{"mediaSessionId":"push-aa"}`, "push-aa"},
		{"push/find", `{"mediaSessionId":"push-a"}`, "push-a"},
	} {
		r := post(t, b, "/rest-api/"+tt.path, tt.body)
		r.wantStatus(t, 200)
		if got := strings.Join(field(t, r.body, "mediaSessionId"), " "); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.path, tt.body, got, tt.want)
		}
	}
	r := post(t, b, "/rest-api/push/find", `{"mediaSessionId":"push-aa"}`)
	if stale, node, status := field(t, r.body, "stale"), field(t, r.body, "nodeId"), field(t, r.body, "status"); stale[0] != "true" || node[0] != "z" || status[0] != "AWAITING" {
		t.Errorf("stale %q, node %q, status %q; want true, z, AWAITING", stale, node, status)
	}
	if r := post(t, b, "/rest-api/push/find", `{"mediaSessionId":"push-a"}`); field(t, r.body, "stale")[0] != "<nil>" {
		t.Errorf("a push that a server runs: %s; want it from that server", r.body)
	}
	post(t, b, "/rest-api/push/mute", `{"mediaSessionId":"push-aa"}`).wantStatus(t, 409)
	post(t, b, "/rest-api/push/terminate", `{"mediaSessionId":"push-aa"}`).wantStatus(t, 200)
	if !slices.Equal(orphans.ended, []string{"push-aa"}) {
		t.Errorf("ended: %q, want push-aa", orphans.ended)
	}
	orphans.set(transponder.ErrIsolated)
	post(t, b, "/rest-api/push/terminate", `{"mediaSessionId":"push-x"}`).wantStatus(t, 503)
}
