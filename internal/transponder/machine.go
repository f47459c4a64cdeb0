package transponder

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// errTransition means that the code tried a move that the table does not have: a bug.
var errTransition = errors.New("no such transition")

// next is the table of moves. Ended and Failed are final. A push that this process gives up, for later or for another process, is in Awaiting
// at the end. A push goes from Live straight to Connecting if the server asked us to reconnect and does not take two connections at
// once. It goes from Connecting to Connecting to give the reason why it has nothing to send yet, and from Connecting to Degraded if it sends to
// several addresses and only some of them take the stream.
var next = map[State][]State{
	Starting:   {Connecting, Awaiting, Ended, Failed},
	Connecting: {Connecting, Live, Degraded, Holding, Waiting, Draining, Awaiting, Ended, Failed},
	Live:       {Connecting, Degraded, Holding, Waiting, Draining, Awaiting, Ended, Failed},
	Degraded:   {Connecting, Live, Degraded, Holding, Waiting, Draining, Awaiting, Ended, Failed},
	Holding:    {Connecting, Live, Degraded, Waiting, Draining, Awaiting, Ended, Failed},
	Waiting:    {Connecting, Awaiting, Ended, Failed},
	Draining:   {Waiting, Awaiting, Ended, Failed},
	Awaiting:   {Starting, Connecting, Awaiting, Ended, Failed},
}

// final reports whether a push in that state is over.
func (s State) final() bool { return len(next[s]) == 0 }

// up reports whether a push in that state has a server that takes media.
func (s State) up() bool { return s == Live || s == Degraded || s == Holding }

// pushStatus is a push's state with its time and, when all is not well, its reason.
type pushStatus struct {
	State   State
	Since   time.Time
	Reason  Reason
	Detail  string    // in words, without secrets
	NextTry time.Time // of Waiting
}

// machine holds the state of a push. Any goroutine may call its methods.
type machine struct {
	mu     sync.Mutex
	status pushStatus // guarded by mu
}

func newMachine() *machine { return &machine{status: pushStatus{Since: time.Now()}} }

// to moves to a state, sets its time to now, and returns the state before.
func (m *machine) to(s pushStatus) (pushStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.status
	if !slices.Contains(next[before.State], s.State) {
		return before, fmt.Errorf("%s to %s: %w", before.State, s.State, errTransition)
	}
	s.Since = time.Now()
	m.status = s
	return before, nil
}

// now returns the present state.
func (m *machine) now() pushStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}
