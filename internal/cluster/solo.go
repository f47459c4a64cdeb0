package cluster

import "time"

// Solo is the only process of a server without a cluster: no other lives, and its gate is always open.
type Solo struct{ Owner }

// Lives reports whether a process is this one.
func (s Solo) Lives(o Owner) bool { return o == s.Owner }

// Patience is 0: nobody else has a push.
func (Solo) Patience(Owner) time.Duration { return 0 }

// Open is always true.
func (Solo) Open() bool { return true }

// Changed is never closed.
func (Solo) Changed() <-chan struct{} { return nil }

// Alone is never true: there are no others to be cut off from.
func (Solo) Alone() (time.Time, bool) { return time.Time{}, false }
