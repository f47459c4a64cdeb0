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
			if err := l.connectNext(ctx); err != nil || ctx.Err() != nil { // if the link has ended, after looks at returning
				return err
			}
		}
		l.returning.Store(false)
		pause = min(2*pause, maxFailBack)
	}
}

// maxFailBack is the longest pause between two tries to return to an address.
const maxFailBack = 5 * time.Minute

// backoff says how long to wait before the stream returns to an address that lost it. If the stream does not stay there for twice the least
// pause, the next one is longer, so that a server that comes and goes does not move the stream back and forth.
type backoff struct{ least, pause time.Duration }

func newBackoff(least time.Duration) backoff { return backoff{least, least} }

// lost notes that the address has lost the stream again, after some time; 0: it has not taken the stream at all.
func (b *backoff) lost(after time.Duration) {
	if after >= 2*b.least {
		b.pause = b.least
		return
	}
	b.pause = min(2*b.pause, max(maxFailBack, b.least))
}
