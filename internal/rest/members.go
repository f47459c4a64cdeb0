package rest

import (
	"context"
	"net/http"

	"transponder/internal/access"
	"transponder/internal/cluster"
)

// Members returns the servers that live, by name: this one alone, or all of its cluster.
type Members func() []cluster.Node

// memberBody is a server in a list.
type memberBody struct {
	NodeID    string  `json:"nodeId"`
	Self      bool    `json:"self,omitempty"` // it is the server that answers
	State     string  `json:"state"`          // ready, full or draining
	Version   string  `json:"version"`
	StartedAt int64   `json:"startedAt"` // ms since 1970
	RTMP      string  `json:"rtmpAddress,omitempty"`
	HTTP      string  `json:"httpUrl,omitempty"`
	Cores     float64 `json:"cores"`
	Allowed   float64 `json:"coresAllowed,omitempty"`
	Streams   int     `json:"streams"`
	Pushes    int     `json:"pushes"`
	Players   int     `json:"players"`
}

// memberRoutes serves the list of servers.
func (s *Server) memberRoutes() {
	if s.parts.Members == nil {
		return
	}
	s.list("/node/find_all", access.Read, s.findMembers, http.MethodGet, http.MethodPost)
}

// findMembers lists the servers. Addresses are for administrators.
func (s *Server) findMembers(ctx context.Context, _ *fields) (any, error) {
	admin := principalOf(ctx).IsAdmin()
	list := []memberBody{}
	for _, n := range s.parts.Members() {
		b := memberBody{
			NodeID: n.Node, Self: n.Node == s.nodeID, State: n.State, Version: n.Server, StartedAt: n.Started,
			Cores: n.Cores, Allowed: n.Allowed, Streams: n.Streams, Pushes: n.Pushes, Players: n.Players,
		}
		if admin {
			b.RTMP, b.HTTP = n.RTMP, n.HTTP
		}
		list = append(list, b)
	}
	return list, nil
}
