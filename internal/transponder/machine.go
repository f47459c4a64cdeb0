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

// next is the table of moves. Ended and Failed are final.
var next = map[State][]State{
	Starting:   {Connecting, Ended, Failed},
	Connecting: {Live, Draining, Ended, Failed},
	Live:       {Draining, Ended, Failed},
	Draining:   {Ended, Failed},
}

// Status is a push's state with its time and, when all is not well, its reason.
type Status struct {
	State  State
	Since  time.Time
	Reason Reason
	Detail string // in words, without secrets
}

// machine holds the one state of a push. Any goroutine may look at it.
type machine struct {
	mu     sync.Mutex
	status Status // guarded by mu
}

func newMachine() *machine { return &machine{status: Status{Since: time.Now()}} }

// to moves to a state.
func (m *machine) to(s State, reason Reason, detail string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(next[m.status.State], s) {
		return fmt.Errorf("%s to %s: %w", m.status.State, s, errTransition)
	}
	m.status = Status{State: s, Since: time.Now(), Reason: reason, Detail: detail}
	return nil
}

func (m *machine) now() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}
