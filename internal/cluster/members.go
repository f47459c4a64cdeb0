package cluster

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"
)

// Owner is a process: a node, and which of its processes.
type Owner struct {
	Node        string `json:"node"`
	Incarnation string `json:"inc"` // random at each start
}

// Members tells which processes live. A server alone is its only member.
type Members interface {
	// Lives reports whether a process may still run pushes. It is false only of what surely does not.
	Lives(Owner) bool
	// Patience is how long a publisher must have been here before the records of a process that does not live may be taken: 0 if the process
	// has left properly. One that went silently may still write for that long: until it is refused, or sees that it is cut off.
	Patience(Owner) time.Duration
	// Changed returns a channel that is closed when a process has come or gone.
	Changed() <-chan struct{}
}

// Node is what a process tells the others about itself.
type Node struct {
	Version int `json:"v"` // of this form, 1
	Owner
	Server  string `json:"version"`        // version of the program
	API     int    `json:"api"`            // of the requests between nodes
	Started int64  `json:"started"`        // milliseconds since 1970
	RTMP    string `json:"rtmp,omitempty"` // host:port on which others read streams
	HTTP    string `json:"http,omitempty"` // URL where clients may be sent
	State   string `json:"state"`          // ready, full, draining

	Cores   float64 `json:"cores"`   // in use
	Allowed float64 `json:"allowed"` // limit; 0: none
	Unit    float64 `json:"unit"`    // cores that one stream costs
	Streams int     `json:"streams"`
	Pushes  int     `json:"pushes"`
	Players int     `json:"players"`
}

// The states of a Node.
const (
	NodeReady    = "ready"
	NodeFull     = "full"
	NodeDraining = "draining"
)

// ErrGone means that a process has ended, or is cut off: nobody answers for it.
var ErrGone = errors.New("the process has ended, or is cut off")

// maxLeft is of how many processes it is remembered that they have left properly.
const maxLeft = 1000

// members is what a process knows of the others. The watch of the bucket writes to it, or reads of the bucket while there is no watch.
type members struct {
	me    Owner
	lease time.Duration

	mu      sync.Mutex
	nodes   map[Owner]Node     // guarded by mu; those that live
	left    map[Owner]struct{} // guarded by mu; those that have left properly
	current bool               // guarded by mu; nodes is what the bucket holds, and the bucket can be reached
	changed chan struct{}      // guarded by mu; closed and replaced at each change

	watchedAt time.Time // guarded by mu; when the watch began that tells what changes; zero: there is none
	doubts    int       // guarded by mu; how often it was noted that nodes may not be what the bucket holds
}

func newMembers(me Owner, lease time.Duration) *members {
	return &members{me: me, lease: lease, nodes: map[Owner]Node{}, left: map[Owner]struct{}{}, changed: make(chan struct{})}
}

// Lives reports whether a process may still run pushes. A process that cannot see the bucket knows of nobody that he does not live.
func (m *members) Lives(o Owner) bool {
	if o == m.me {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, gone := m.left[o]; gone {
		return false
	}
	_, lives := m.nodes[o]
	return lives || !m.current
}

// Patience is 0 for a process that has left, and else longer than the process takes to be refused at its next renewal.
func (m *members) Patience(o Owner) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, gone := m.left[o]; gone {
		return 0
	}
	return max(2300*time.Millisecond, m.lease/renewals+300*time.Millisecond)
}

// Changed returns a channel that is closed at the next change.
func (m *members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// all returns the processes that live, by node and incarnation.
func (m *members) all() []Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	nodes := make([]Node, 0, len(m.nodes))
	for _, n := range m.nodes {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Started, b.Started), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return nodes
}

// watch sets all nodes: what a new watch has found. It returns who has come and who has gone.
func (m *members) watch(nodes map[Owner]Node) (came, went []Owner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchedAt = time.Now()
	return m.replace(nodes)
}

// read sets all nodes: what was read while there was no watch, after so many doubts. A watch knows better.
func (m *members) read(nodes map[Owner]Node, doubts int) (came, went []Owner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.watchedAt.IsZero() || m.doubts != doubts {
		return nil, nil
	}
	return m.replace(nodes)
}

// replace sets all nodes. The caller holds mu.
func (m *members) replace(nodes map[Owner]Node) (came, went []Owner) {
	for o := range nodes {
		if _, known := m.nodes[o]; !known {
			came = append(came, o)
		}
	}
	for o := range m.nodes {
		if _, lives := nodes[o]; !lives {
			went = append(went, o)
		}
	}
	m.nodes, m.current = nodes, true
	m.tell()
	return came, went
}

// set notes what a node has written. It reports whether the node is new.
func (m *members) set(n Node) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.nodes[n.Owner]
	m.nodes[n.Owner] = n
	delete(m.left, n.Owner)
	if !known {
		m.tell()
	}
	return !known
}

// remove notes that a process is gone; properly: it has said so, or its successor on the same machine knows.
func (m *members) remove(o Owner, properly bool) (was bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, was = m.nodes[o]
	delete(m.nodes, o)
	if properly {
		if len(m.left) >= maxLeft {
			clear(m.left) // the price is patience
		}
		m.left[o] = struct{}{}
	}
	if was {
		m.tell()
	}
	return was
}

// stale notes that nobody answers, or that the watch cannot be trusted.
func (m *members) stale() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubt()
}

// doubt is stale for a caller who holds mu.
func (m *members) doubt() {
	m.current, m.watchedAt = false, time.Time{}
	m.doubts++
}

// unwatched notes that the watch has ended. What was read since it was doubted stands.
func (m *members) unwatched() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.watchedAt.IsZero() {
		m.doubt()
	}
}

// unsure notes that a renewal has failed. If there is no watch, the last read is too old.
func (m *members) unsure() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watchedAt.IsZero() {
		m.doubt()
	}
}

// watching reports whether a watch tells what changes.
func (m *members) watching() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.watchedAt.IsZero()
}

// watchedBefore reports whether there is a watch that began before t.
func (m *members) watchedBefore(t time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.watchedAt.IsZero() && m.watchedAt.Before(t)
}

// doubted returns what read is to be given, if the reading begins now.
func (m *members) doubted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doubts
}

// fresh reports whether the process knows who lives.
func (m *members) fresh() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current
}

// tell wakes all who wait for a change. The caller holds mu.
func (m *members) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func parseNode(value []byte) (Node, error) {
	var n Node
	err := json.Unmarshal(value, &n)
	return n, err
}
