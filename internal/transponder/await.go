package transponder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

const (
	// insistFor is how long a resumed push tries to connect, whatever its policy says and the server answers: the server may still believe in the
	// connection of the process before, and say that the name is in use.
	insistFor = 90 * time.Second
	// insistPause is the time between these tries.
	insistPause = 2 * time.Second
)

var (
	// errRestarting ends a push of this process that goes on when the server runs again.
	errRestarting = fmt.Errorf("the push goes on after the restart: %w", ErrStopping)
	// errReleased ends a push of this process that another one goes on with.
	errReleased = fmt.Errorf("released: %w", ErrMoved)
	// errExpired ends a push whose publisher did not come back in time.
	errExpired = errors.New("the publisher did not come back in time")
)

// parked reports whether a push is not over, though it ends in this process.
func parked(err error) bool { return errors.Is(err, errRestarting) || errors.Is(err, ErrMoved) }

// restored says how a push that has outlived its process goes on.
type restored struct {
	until time.Time // the publisher must be back by then
	stuck bool      // the push waits until somebody ends it
	dead  error     // what ends the push at once; nil: nothing does
	stats *resumes

	back time.Time   // when the publisher was back; zero before. Written by run before the push connects
	done atomic.Bool // the push was live again
}

// restore makes a new push what a record says.
func (p *push) restore(r Record, how *restored) {
	p.restored = how
	p.started = time.UnixMilli(r.Begun)
	p.attempts.Store(int32(r.Tries))
	p.everLive = r.Ever
	p.known.Store(r.Ever)
	if r.At > 0 && r.At < len(p.addresses) {
		p.at.Store(int32(r.At))
	}
	p.present().accepted = r.Ever
	p.seq.Store(r.Seq)
	p.voice.muted, p.voice.loop = r.Muted, r.Loop
	p.pastSent, p.pastAcked, p.frames = r.Sent, r.Acked, r.Frames
	p.in.past.DroppedFrames = r.Lost
	p.machine.status.State = Awaiting
}

// awaitPublisher waits until the publisher of a push that was restored is back and connected.
func (p *push) awaitPublisher(ctx context.Context) error {
	switch {
	case p.restored.dead != nil:
		return p.restored.dead
	case p.restored.stuck:
		<-ctx.Done()
		return context.Cause(ctx)
	}
	status := p.machine.now()
	for {
		waiting, cancel := context.WithDeadlineCause(ctx, p.restored.until, errExpired)
		src, err := p.awaitAny(waiting)
		cancel()
		if err != nil {
			return err
		}
		if src.Info().IsRelay() { // the publisher is at another server
			if err := untilDone(ctx, src); err != nil {
				return err
			}
			continue
		}
		p.move(pushStatus{State: Starting, Reason: status.Reason, Detail: "The publisher is back."})
		p.goOn(src)
		select {
		case <-src.Live():
			p.restored.back = time.Now()
			if err := p.awaitTurn(ctx); err != nil || src.Err() == nil {
				return err
			}
		case <-src.Done():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		p.in.sleep()
		p.move(pushStatus{State: Awaiting, Reason: status.Reason, Detail: status.Detail})
	}
}

// awaitTurn waits until a restored push may connect. Meanwhile the push reads the sound of the stream, so that it is known before the connection
// begins whether silence takes the place of the sound: silence that comes later would need a second connection. The sound is not read if it
// may pass as Opus, because that depends on what the server offers.
func (p *push) awaitTurn(ctx context.Context) error {
	begun := time.Now()
	if !slices.Contains(p.req.Options.Codecs, "opus") {
		if err := p.in.addSound(); err != nil && p.source().Err() == nil {
			return err
		}
	}
	if err := p.restored.stats.limiter.wait(ctx); err != nil {
		return err
	}
	if time.Since(begun) > time.Second {
		p.in.hurry() // the push would be late for ever
	}
	return nil
}

// awaitAny waits until the stream of the push is published, or one of its backup streams.
func (p *push) awaitAny(ctx context.Context) (*stream.Source, error) {
	if len(p.req.Options.BackupStreams) == 0 {
		return p.parts.Hub.Await(ctx, p.name())
	}
	for {
		added := p.parts.Hub.Added()
		if src, ok := firstSource(p.parts.Hub, p.req); ok {
			return src, nil
		}
		select {
		case <-added:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func untilDone(ctx context.Context, src *stream.Source) error {
	select {
	case <-src.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// goOn reads a source in the place of the one that the process before has read. The far end's time goes on.
func (p *push) goOn(src *stream.Source) {
	p.in.begin(src)
	if r := p.claim.Record(); r.Anchor != 0 {
		p.clock.resume(media.Timestamp(time.Duration(r.Anchor-p.parts.Clock.ms(src.Created()))*time.Millisecond), r.Far)
	}
}

// untilOpen waits until the claim lets the push write.
func (p *push) untilOpen(ctx context.Context) error {
	for {
		changed := p.claim.Changed()
		if p.claim.Open() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// insists reports whether the push connects for the first time since it was restored, and so tries longer than its policy says.
func (p *push) insists() bool {
	if p.front != nil {
		return p.front.insists()
	}
	return p.restored != nil && !p.restored.done.Load() && time.Since(p.restored.back) < insistFor
}

// passLimit waits until a push may connect that was restored and has not been live since.
func (p *push) passLimit(ctx context.Context) error {
	if p.front != nil {
		return p.front.passLimit(ctx)
	}
	if p.restored == nil || p.restored.done.Load() {
		return nil
	}
	return p.restored.stats.limiter.pass(ctx)
}

// resumes counts the pushes that were restored, and paces them.
type resumes struct {
	limiter *limiter

	live, expired, ended, failed atomic.Int64
	nanos                        atomic.Int64 // from the return of the publishers to live, of all that are live again
}

// ResumeStats are figures of pushes that have outlived their process.
type ResumeStats struct {
	Live    int64         // were live again
	Expired int64         // ended because the publisher did not come back in time
	Ended   int64         // ended otherwise before they were live again
	Failed  int64         // failed before they were live again
	Took    time.Duration // from the return of the publisher to live, the sum of all that were live again
}

func (r *resumes) stats() ResumeStats {
	return ResumeStats{r.live.Load(), r.expired.Load(), r.ended.Load(), r.failed.Load(), time.Duration(r.nanos.Load())}
}

// resumed notes that a push is live again.
func (p *push) resumed() {
	if p.front != nil {
		p.front.resumed()
		return
	}
	if how := p.restored; how != nil && how.done.CompareAndSwap(false, true) {
		how.stats.live.Add(1)
		how.stats.nanos.Add(int64(time.Since(how.back)))
	}
}

// lost counts a push that ended before it was live again.
func (p *push) unresumed(end pushStatus) {
	switch how := p.restored; {
	case how == nil || how.done.Load():
	case end.Reason == ReasonExpired:
		how.stats.expired.Add(1)
	case end.State == Failed:
		how.stats.failed.Add(1)
	default:
		how.stats.ended.Add(1)
	}
}
