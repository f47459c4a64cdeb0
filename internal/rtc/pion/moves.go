package pion

import (
	"slices"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

const (
	// silent: a path that has brought nothing for so long may be gone. Clients that receive send reports at least every second.
	silent = 1500 * time.Millisecond
	// maxPairs limits the paths of a client that are watched.
	maxPairs = 8
)

// moves lets a session follow a client to which a NAT has given another address. Pion's agent keeps the path that the client has nominated,
// unless the client nominates one with a higher priority. But for the client nothing has changed, so it nominates nothing, and the new
// address has the same priority as the old one, or a lower one. The agent's goroutine has it.
type moves struct {
	pairs  []*ice.CandidatePair // over which checks have come
	chosen *ice.CandidatePair   // by checked; nil if the agent chooses
}

// checked takes a genuine check, and says whether the agent is to send over this path from now on: all others are silent.
func (m *moves) checked(check *stun.Message, _, _ ice.Candidate, pair *ice.CandidatePair) bool {
	heard := time.Time{} // when another path last brought something
	for _, p := range m.pairs {
		if at := p.Remote.LastReceived(); p != pair && p.Remote != pair.Remote && at.After(heard) {
			heard = at
		}
	}
	if !slices.Contains(m.pairs, pair) {
		if len(m.pairs) == maxPairs {
			m.pairs = slices.Delete(m.pairs, 0, 1)
		}
		m.pairs = append(m.pairs, pair)
	}
	switch {
	case heard.IsZero(): // this is the only path
		return false
	case time.Since(heard) < silent:
		if check.Contains(stun.AttrUseCandidate) && pair != m.chosen {
			m.chosen = nil // the agent follows, if the priority is higher
		}
		return false
	case pair == m.chosen:
		return false
	}
	m.chosen = pair
	return true
}
