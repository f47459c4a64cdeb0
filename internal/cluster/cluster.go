package cluster

// Owner is a process: a node, and which of its processes.
type Owner struct {
	Node        string `json:"node"`
	Incarnation string `json:"inc"` // random at each start
}

// Members tells which processes live. A server alone is its only member.
type Members interface {
	// Lives reports whether a process may still run pushes. It is false only of what surely does not.
	Lives(Owner) bool
}

// Gate tells whether this process may write to destinations now. The gate of a server alone is always open.
type Gate interface {
	// Open is called before each write: one atomic load and one reading of the clock.
	Open() bool
	// Changed returns a channel that is closed when Open may have changed.
	Changed() <-chan struct{}
}
