package rtmp

import (
	"errors"
	"sync/atomic"
)

// ErrNoMemory means that the peers of all connections together hold as much as they may.
var ErrNoMemory = errors.New("no memory for messages")

// Budget is what the unfinished messages of many connections may hold together, beyond what each may hold in any case. A nil Budget has
// no limit.
type Budget struct {
	most int64
	held atomic.Int64
}

// NewBudget makes a budget of so many bytes.
func NewBudget(most int64) *Budget { return &Budget{most: most} }

// Held returns the bytes that are held now.
func (b *Budget) Held() int64 { return b.held.Load() }

func (b *Budget) take(n int) bool {
	if b == nil {
		return true
	}
	if b.held.Add(int64(n)) > b.most {
		b.held.Add(-int64(n))
		return false
	}
	return true
}

func (b *Budget) give(n int) {
	if b != nil {
		b.held.Add(-int64(n))
	}
}
