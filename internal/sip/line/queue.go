package line

import (
	"sync"
	"time"
)

// maxCommands bounds what waits for the goroutine of the Line.
const maxCommands = 16 << 10

// task is work for the goroutine of the Line.
type task func(now time.Time)

// queue hands tasks to the goroutine of the Line without blocking, also from that goroutine itself.
type queue struct {
	wake chan struct{} // has room for one

	mu     sync.Mutex
	tasks  []task // guarded by mu
	closed bool   // guarded by mu
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// put adds a task. It reports false if the queue is full or closed.
func (q *queue) put(f task) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.tasks) >= maxCommands {
		return false
	}
	q.tasks = append(q.tasks, f)
	select {
	case q.wake <- struct{}{}:
	default: // it is awake already
	}
	return true
}

// take returns all tasks.
func (q *queue) take() []task {
	q.mu.Lock()
	defer q.mu.Unlock()
	tasks := q.tasks
	q.tasks = nil
	return tasks
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.tasks = true, nil
}
