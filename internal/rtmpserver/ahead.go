package rtmpserver

import (
	"context"
	"sync"

	"transponder/internal/stream"
)

// ahead reads a publisher that sends faster than its media plays. What is read is kept until it is due, within the bounds of a
// reader's queue: a publisher that has sent all it has may be gone at once, and what its kernel still holds then is lost.
type ahead struct {
	read func() (received, error)
	more chan struct{} // holds a token when there may be something to take
	room chan struct{} // holds a token when there may be room again

	mu    sync.Mutex
	queue []received // guarded by mu
	bytes int        // guarded by mu
	err   error      // guarded by mu; there will be no more
}

func newAhead(read func() (received, error)) *ahead {
	return &ahead{read: read, more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// run reads until that fails or ctx ends.
func (a *ahead) run(ctx context.Context) {
	for {
		for a.full() {
			select {
			case <-a.room:
			case <-ctx.Done():
				return
			}
		}
		m, err := a.read()
		if err != nil {
			a.end(err)
			return
		}
		a.mu.Lock()
		a.queue = append(a.queue, m)
		a.bytes += len(m.Payload)
		a.mu.Unlock()
		token(a.more)
	}
}

// end says why there will be no more.
func (a *ahead) end(err error) {
	a.mu.Lock()
	a.err = err
	a.mu.Unlock()
	token(a.more)
}

func (a *ahead) full() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes > stream.DefaultMaxBytes || len(a.queue) > stream.MaxFrames
}

// over says whether reading has ended.
func (a *ahead) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err != nil
}

// next waits for a message and returns it, or why there will be no more.
func (a *ahead) next(ctx context.Context) (received, error) {
	for {
		a.mu.Lock()
		if len(a.queue) > 0 {
			m := a.queue[0]
			a.queue[0] = received{} // lets go of the payload
			a.queue = a.queue[1:]
			a.bytes -= len(m.Payload)
			a.mu.Unlock()
			token(a.room)
			return m, nil
		}
		err := a.err
		a.mu.Unlock()
		if err != nil {
			return received{}, err
		}
		select {
		case <-a.more:
		case <-ctx.Done():
			return received{}, context.Cause(ctx)
		}
	}
}

// token puts a token into a channel that holds one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
