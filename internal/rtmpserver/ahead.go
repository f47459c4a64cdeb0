package rtmpserver

import (
	"context"
	"sync"

	"transponder/internal/stream"
)

// ahead reads from a publisher that sends faster than its media plays, and queues the messages until they are due. The queue has the
// limits of a reader's queue. Without it, media would be lost: a publisher may disconnect as soon as it has sent everything, and
// what the kernel of its machine still holds then never arrives.
type ahead struct {
	read func() (received, error)
	more chan struct{} // holds a token when there may be a message
	room chan struct{} // holds a token when there may be room again

	mu    sync.Mutex
	queue []received // guarded by mu
	bytes int        // guarded by mu
	err   error      // guarded by mu; why reading has ended
}

func newAhead(read func() (received, error)) *ahead {
	return &ahead{read: read, more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// run reads until a read fails or ctx ends.
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

// end sets why reading has ended.
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

// over reports whether reading has ended.
func (a *ahead) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err != nil
}

// next waits for a message and returns it. After the last message it returns why reading has ended.
func (a *ahead) next(ctx context.Context) (received, error) {
	for {
		a.mu.Lock()
		if len(a.queue) > 0 {
			m := a.queue[0]
			a.queue[0] = received{} // releases the payload
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
