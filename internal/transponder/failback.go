package transponder

import (
	"context"
	"time"
)

// failBack returns the stream to the first address of the push when that is well again. It tries to connect there while this link still
// stands, and send changes over at the next key frame, so that no picture is missing. A server that refuses a second connection, because both
// addresses lead to it for example, keeps the stream on this link: a show is not interrupted for a better address.
func (l *link) failBack(ctx context.Context) error {
	pause := l.push.back.pause
	for {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		if l.made.Load() != nil { // another connection is wanted, and this link is about to end
			return nil
		}
		l.returning.Store(true)
		if l.next.replace(&l.push.addresses[0].target) {
			l.push.log.Debug("trying the first address again")
			if err := l.connectNext(ctx); err != nil {
				return err
			}
		}
		l.returning.Store(false)
		pause = min(2*pause, maxFailBack)
	}
}

const (
	// maxFailBack is the longest pause between two tries to return to the first address.
	maxFailBack = 5 * time.Minute
	// returnedFor is how long the stream must stay at the first address after a return, or else the next return waits for longer.
	returnedFor = time.Minute
)

// backoff says how long to wait before the stream returns to the first address. If the stream does not stay there, the wait gets longer, so
// that a server that comes and goes does not move the stream back and forth.
type backoff struct{ least, pause time.Duration }

func newBackoff(least time.Duration) backoff { return backoff{least, least} }

// left notes that the first address has lost the stream again, after some time.
func (b *backoff) left(after time.Duration) {
	if after >= returnedFor {
		b.pause = b.least
		return
	}
	b.pause = min(2*b.pause, max(maxFailBack, b.least))
}
