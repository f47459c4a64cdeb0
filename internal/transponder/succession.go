package transponder

import "sync"

// maxAsked is how many different addresses a server may ask for on one link, so that it cannot send us around without end.
const maxAsked = 4

// succession says where the stream goes on after a link, and how far the connection to there is. The zero value: nowhere else. Any goroutine
// of the link may use it.
type succession struct {
	mu     sync.Mutex
	wanted *pushTarget // guarded by mu; nil: no other connection is wanted
	asked  bool        // guarded by mu; the server asked for wanted
	making bool        // guarded by mu; a connection to wanted is being made
	made   bool        // guarded by mu; a connection to wanted was made
	count  int         // guarded by mu; of the addresses that the server asked for
	later  *pushTarget // guarded by mu; what the server asked for while there was another wanted target, nil: nothing
}

// replace wants a second connection to the target of the link, unless another one is wanted already. start says that the caller must make it.
func (s *succession) replace(to *pushTarget) (start bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted != nil {
		return false
	}
	s.wanted, s.making = to, true
	return true
}

// ask wants what the server asks for. While another connection is being made, and once it is made, the request waits. news says that the
// server has not asked for it before, start that the caller must make the connection.
func (s *succession) ask(to *pushTarget) (start, news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.later
	if last == nil && s.asked {
		last = s.wanted
	}
	if last != nil && last.key() == to.key() || s.count == maxAsked {
		return false, false
	}
	s.count++
	switch {
	case s.making || s.made:
		s.later = to
		return false, true
	default: // nothing is wanted, or the connection to it has failed
		s.wanted, s.asked, s.making = to, true, true
		return true, true
	}
}

// goal returns where a connection must be made to, and whether the server asked for it.
func (s *succession) goal() (to pushTarget, asked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.wanted, s.asked
}

// tried notes whether the connection was made. again says that there is another goal now, because the server has asked for another address
// meanwhile: then the connection is of no use. If the server has asked for the address to which the connection was just made, this connection
// is the answer.
func (s *succession) tried(ok bool) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to := s.later; to != nil && (!ok || to.key() != s.wanted.key()) {
		s.wanted, s.asked, s.later = to, true, nil
		return true
	}
	s.making, s.made, s.later = false, ok, nil
	if !ok && !s.asked {
		s.wanted = nil
	}
	return false
}

// end returns where the stream goes on when the link has ended, nil if nowhere else; whether the server asked for that; and what it asked for
// since that connection was made.
func (s *succession) end() (wanted *pushTarget, asked bool, later *pushTarget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.later != nil && !s.made {
		return s.later, true, nil
	}
	return s.wanted, s.asked, s.later
}
