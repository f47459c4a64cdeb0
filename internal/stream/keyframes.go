package stream

import (
	"sync"
	"sync/atomic"
	"time"
)

// keyFrames merges the wishes of readers for key frames into requests to one publisher. Any goroutine may call the methods.
type keyFrames struct {
	cfg Config
	ask func() // nil: the publisher cannot be asked

	asked   atomic.Int64
	readers atomic.Int32 // how many readers want key frames at the interval

	mu       sync.Mutex
	wanted   bool          // guarded by mu: somebody waits for a key frame
	askedAt  time.Time     // guarded by mu
	cameAt   time.Time     // guarded by mu
	lag      time.Duration // guarded by mu: from the last request to the key frame that answered it; 0 if the publisher sends key frames by itself
	answered bool          // guarded by mu: the last key frame answered a request
	spared   bool          // guarded by mu: one key frame without a request did not change lag; two answers in a row allow another one
}

// maxLag is how long after a request a key frame counts as the answer.
const maxLag = 500 * time.Millisecond

// want asks for a key frame now if the gap allows that, else at a later tick.
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
	lag := now.Sub(k.askedAt)
	answer := k.cameAt.Before(k.askedAt) && lag < maxLag
	switch {
	case answer:
		k.lag, k.spared = lag, k.spared && !k.answered
	case k.cameAt.IsZero(): // every stream begins with a key frame, whether or not others follow without a request
		k.lag = tick
	case !k.spared && now.Sub(k.cameAt) < k.cfg.KeyFrameGap: // the receiver may have asked, because packets were lost
		k.spared = true
	default:
		k.lag = 0
	}
	k.answered = answer
	k.wanted, k.cameAt = false, now
}

// tick asks for a key frame if somebody still waits for one, or if the interval is over.
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

// old reports whether the interval demands a key frame. A publisher that answers requests is asked earlier, by the time that its last answer
// took. A publisher that sends key frames by itself gets one tick more, so that it is not asked if its own interval is the same. The caller
// holds mu.
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
