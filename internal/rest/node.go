package rest

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"transponder/internal/access"
	"transponder/internal/limits"
)

// Node is this server among others. Package app has one for a server alone.
type Node interface {
	// Drain refuses new streams from now on. The server stops when the last stream has ended, at the latest after limit; nil: the limit of the
	// settings. Calling it again changes the limit.
	Drain(ctx context.Context, limit *time.Duration) (NodeState, error)
	// Resume takes Drain back. It fails with ErrStopping if it is too late. If the server is not drained, it does nothing.
	Resume(ctx context.Context) (NodeState, error)
}

// NodeState says whether a server is drained.
type NodeState struct {
	Draining bool
	Left     time.Duration // until the server stops at the latest, if it is drained
	Streams  int           // that it has now
}

// ErrStopping means that the server stops for another reason than a request to drain it, or stops already.
var ErrStopping = refusal{http.StatusConflict, "the server is stopping, or another process takes over: that cannot be taken back"}

// DrainRange is the range of the time that a drain may take.
var DrainRange = limits.Of(0, 24*time.Hour)

// nodeBody is the state of a server in an answer.
type nodeBody struct {
	NodeID   string `json:"nodeId,omitempty"`
	State    string `json:"state"` // SERVING or DRAINING
	FinishMs *int64 `json:"finishMs,omitempty"`
	Streams  int    `json:"streams"`
}

// nodeRoutes serves the methods of a node, if there is one.
func (s *Server) nodeRoutes() {
	if s.parts.Node == nil {
		return
	}
	s.method("/node/drain", access.Admin, s.drainNode, http.MethodPost)
	s.method("/node/resume", access.Admin, s.resumeNode, http.MethodPost)
}

func (s *Server) drainNode(ctx context.Context, f *fields) (any, error) {
	var limit *time.Duration
	if wish := f.text("finishMs"); wish != "" {
		ms, err := strconv.ParseInt(wish, 10, 64)
		d := time.Duration(ms) * time.Millisecond
		if err != nil || d.Milliseconds() != ms || !DrainRange.Contains(d) {
			f.fail("finishMs", "it must be a whole number from 0 to %d, not %s", DrainRange.Max.Milliseconds(), shown([]byte(wish)))
		}
		limit = &d
	}
	if f.err != nil {
		return nil, f.err
	}
	st, err := s.parts.Node.Drain(ctx, limit)
	return s.nodeBody(st), err
}

func (s *Server) resumeNode(ctx context.Context, _ *fields) (any, error) {
	st, err := s.parts.Node.Resume(ctx)
	return s.nodeBody(st), err
}

func (s *Server) nodeBody(st NodeState) nodeBody {
	b := nodeBody{NodeID: s.nodeID, State: "SERVING", Streams: st.Streams}
	if st.Draining {
		left := st.Left.Milliseconds()
		b.State, b.FinishMs = "DRAINING", &left
	}
	return b
}
