package rest

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// fakeNode notes what it is asked.
type fakeNode struct {
	limits []time.Duration // -1: of the settings
	state  NodeState
	err    error
}

func (n *fakeNode) Drain(_ context.Context, limit *time.Duration) (NodeState, error) {
	if limit == nil {
		n.limits = append(n.limits, -1)
	} else {
		n.limits = append(n.limits, *limit)
	}
	n.state.Draining, n.state.Left = true, 90*time.Second
	return n.state, n.err
}

func (n *fakeNode) Resume(context.Context) (NodeState, error) {
	n.state.Draining = false
	return n.state, n.err
}

func TestNode(t *testing.T) {
	node := &fakeNode{state: NodeState{Streams: 3}}
	cfg := DefaultConfig()
	cfg.NodeID = "node1"
	srv := serve(t, cfg, Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Node: node})
	for _, tt := range []struct {
		path, body string
		status     int
		want       string        // the answer
		limit      time.Duration // that the node was asked for, if it was
	}{
		{"/node/drain", `{}`, 200, `{"nodeId":"node1","state":"DRAINING","finishMs":90000,"streams":3}`, -1},
		{"/node/drain", `{"finishMs":null}`, 200, `{"nodeId":"node1","state":"DRAINING","finishMs":90000,"streams":3}`, -1},
		{"/node/drain", `{"finishMs":0}`, 200, `{"nodeId":"node1","state":"DRAINING","finishMs":90000,"streams":3}`, 0},
		{"/node/drain", `{"finishMs":"86400000"}`, 200, `{"nodeId":"node1","state":"DRAINING","finishMs":90000,"streams":3}`, 24 * time.Hour},
		{"/node/drain", `{"finishMs":86400001}`, 400, "", 0},
		{"/node/drain", `{"finishMs":9223372036854775807}`, 400, "", 0},
		{"/node/drain", `{"finishMs":-1}`, 400, "", 0},
		{"/node/drain", `{"finishMs":1.5}`, 400, "", 0},
		{"/node/drain", `{"finishMs":"soon"}`, 400, "", 0},
		{"/node/resume", ``, 200, `{"nodeId":"node1","state":"SERVING","streams":3}`, 0},
	} {
		node.limits = nil
		r := post(t, srv, prefix+tt.path, tt.body)
		r.wantStatus(t, tt.status)
		if tt.status != http.StatusOK {
			if node.limits != nil {
				t.Errorf("%s %s: the node was asked for %v", tt.path, tt.body, node.limits)
			}
			continue
		}
		if got := string(r.body); got != tt.want+"\n" {
			t.Errorf("%s %s = %s, want %s", tt.path, tt.body, got, tt.want)
		}
		if tt.path == "/node/drain" && (len(node.limits) != 1 || node.limits[0] != tt.limit) {
			t.Errorf("%s: the node was asked for %v, want %v", tt.body, node.limits, tt.limit)
		}
	}
	node.err = ErrStopping
	post(t, srv, prefix+"/node/resume", "").wantStatus(t, http.StatusConflict)
	post(t, srv, prefix+"/node/drain", "").wantStatus(t, http.StatusConflict)
}
