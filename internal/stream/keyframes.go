package stream

import (
	"sync"
	"sync/atomic"
	"time"
)

// keyFrames merges what readers want into requests to one publisher. Its methods may be called from any goroutine.
type keyFrames struct {
	cfg Config
	ask func() // nil: the publisher cannot be asked

	asked   atomic.Int64
	readers atomic.Int32 // that want key frames at the interval

	mu      sync.Mutex
	wanted  bool      // guarded by mu: somebody waits for one
	askedAt time.Time // guarded by mu
	cameAt  time.Time // guarded by mu
}

// want asks for a key frame now if the gap allows, else at a later tick.
func (k *keyFrames) want(now time.Time) {
	k.mu.Lock()
	k.wanted = true
	due := now.Sub(k.askedAt) >= k.cfg.KeyFrameGap
	if due {
		k.askedAt = now
	}
	k.mu.Unlock()
	if due {
		k.send()
	}
}

// came notes that a key frame arrived.
func (k *keyFrames) came(now time.Time) {
	k.mu.Lock()
	k.wanted, k.cameAt = false, now
	k.mu.Unlock()
}

// tick asks if somebody still waits, or if the interval has passed since the last key frame. The interval is given one
// tick's grace, so that a publisher whose own interval is the same is left alone.
func (k *keyFrames) tick(now time.Time) {
	k.mu.Lock()
	old := k.readers.Load() > 0 && k.cfg.KeyFrameInterval > 0 && !k.cameAt.IsZero() &&
		now.Sub(k.cameAt) >= k.cfg.KeyFrameInterval+tick
	due := (k.wanted || old) && now.Sub(k.askedAt) >= k.cfg.KeyFrameGap
	if due {
		k.askedAt = now
	}
	k.mu.Unlock()
	if due {
		k.send()
	}
}

func (k *keyFrames) send() {
	if k.ask != nil {
		k.asked.Add(1)
		k.ask()
	}
}
