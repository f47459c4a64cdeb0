package rest

import (
	"testing"

	"transponder/internal/access"
	"transponder/internal/cluster"
)

func TestMembers(t *testing.T) {
	cfg := DefaultConfig()
	cfg.NodeID = "a"
	none := &fakeSessions{}
	members := func() []cluster.Node {
		return []cluster.Node{
			{Owner: cluster.Owner{Node: "a"}, State: cluster.NodeReady, Server: "1.2", Started: 1700000000123, RTMP: "10.0.0.1:1935", Cores: 0.5, Allowed: 1.8, Streams: 3},
			{Owner: cluster.Owner{Node: "b"}, State: cluster.NodeDraining, Server: "1.2", Started: 1700000000124, Pushes: 2, Players: 1},
		}
	}
	srv := serve(t, cfg, Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Connections: none, Players: none, Members: members})
	r := get(t, srv, "/rest-api/node/find_all")
	r.wantStatus(t, 200)
	const want = `[{"nodeId":"a","self":true,"state":"ready","version":"1.2","startedAt":1700000000123,"rtmpAddress":"10.0.0.1:1935","cores":0.5,"coresAllowed":1.8,"streams":3,"pushes":0,"players":0},` +
		`{"nodeId":"b","state":"draining","version":"1.2","startedAt":1700000000124,"cores":0,"streams":0,"pushes":2,"players":1}]` + "\n"
	if string(r.body) != want {
		t.Errorf("the list is %s\nwant %s", r.body, want)
	}
	h, err := New(cfg, Parts{Pushes: &fakePushes{}, Streams: newHub(t), Events: newFakeEvents(0), Connections: none, Players: none, Members: members}, nil)
	if err == nil {
		answer, _ := h.findMembers(asCaller(t.Context(), &access.Principal{Kind: access.User, Subject: "ann"}), nil)
		if list, ok := answer.([]memberBody); !ok || list[0].RTMP != "" {
			t.Errorf("somebody who is no administrator sees %v, want no addresses", answer)
		}
	}
}
