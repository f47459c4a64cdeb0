package rtmp

import (
	"errors"
	"sync/atomic"
)

// ErrNoMemory means that the unfinished messages of all connections together have reached their limit.
var ErrNoMemory = errors.New("no memory for messages")

// Budget limits the memory for the unfinished messages of many connections. Each connection may also use some memory of its own, beside the
// budget. A nil Budget has no limit.
type Budget struct {
	most int64
	held atomic.Int64
}

// NewBudget makes a budget of that many bytes.
func NewBudget(most int64) *Budget { return &Budget{most: most} }

// Held returns the bytes that are in use now.
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
