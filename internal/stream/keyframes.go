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
	wanted  bool          // guarded by mu: somebody waits for one
	askedAt time.Time     // guarded by mu
	cameAt  time.Time     // guarded by mu
	lag     time.Duration // guarded by mu: from the last request to the key frame that answered it; 0 if it came unasked
}

// maxLag is how long after a request a key frame is still taken for its answer.
const maxLag = 500 * time.Millisecond

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
	defer k.mu.Unlock()
	k.lag = 0
	if lag := now.Sub(k.askedAt); k.cameAt.Before(k.askedAt) && lag < maxLag {
		k.lag = lag
	}
	k.wanted, k.cameAt = false, now
}

// tick asks if somebody still waits, or if the interval is over.
func (k *keyFrames) tick(now time.Time) {
	k.mu.Lock()
	due := (k.wanted || k.old(now)) && now.Sub(k.askedAt) >= k.cfg.KeyFrameGap
	if due {
		k.askedAt = now
	}
	k.mu.Unlock()
	if due {
		k.send()
	}
}

// old says whether it is time for the next key frame at the interval. A publisher that answers requests is asked so much
// earlier as it took for the last one. One that sends key frames by itself gets a tick's grace, so that it is left alone if
// its own interval is the same. The caller holds mu.
func (k *keyFrames) old(now time.Time) bool {
	if k.readers.Load() == 0 || k.cfg.KeyFrameInterval == 0 || k.cameAt.IsZero() {
		return false
	}
	age := k.cfg.KeyFrameInterval + tick
	if k.lag > 0 {
		age = k.cfg.KeyFrameInterval - k.lag - tick/2
	}
	return now.Sub(k.cameAt) >= age
}

func (k *keyFrames) send() {
	if k.ask != nil {
		k.asked.Add(1)
		k.ask()
	}
}
