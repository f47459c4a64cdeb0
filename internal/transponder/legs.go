package transponder

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// errAllGone ends the legs of a push when none of them makes another attempt.
var errAllGone = errors.New("no address takes the stream")

// legs are the parts of a push that sends to several addresses at the same time. The push itself reads the stream, holds it while its
// publisher is away, and decides which sound is sent. It writes the result to a private source, from which each leg sends it to one address
// with a queue, connections and retries of its own. So all addresses get the same frames with the same times, and a slow or dead one hurts
// no other.
//
// A leg is a push that is in no registry: its states lead to those of the push, and only the push writes to the journal.
type legs struct {
	push *push

	all atomic.Pointer[[]*push] // one for each address, nil before they begin

	mu     sync.Mutex // taken after the moving of a leg and before that of the push
	active int        // guarded by mu; legs that make attempts or wait for one
	held   bool       // guarded by mu; the push holds its stream
	closed bool       // guarded by mu; the push ends, and does not follow its legs any more
}

// list returns the legs, none before they begin.
func (s *legs) list() []*push {
	if all := s.all.Load(); all != nil {
		return *all
	}
	return nil
}

// sendToAll is persist for a push that sends to all its addresses at the same time.
func (p *push) sendToAll(ctx context.Context) error {
	if err := p.in.addSound(); err != nil {
		return p.readError(ctx, err)
	}
	common, err := p.parts.Hub.Private(stream.Info{
		Name: p.name(), HasVideo: p.source().HasVideo() || p.req.Options.Picture != "", HasAudio: true, AskKeyFrame: p.in.RequestKeyFrame,
	})
	if err != nil {
		return err
	}
	common.SetLive()
	if track := p.in.feed().Announced(); track != nil {
		common.Video.Announce(track)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := p.newLegs(common)
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, leg := range all {
		wg.Go(func() {
			errs[i] = leg.safely(func() error { return leg.keep(ctx) })
			if p.legs.over(leg, errs[i]) {
				cancel(errAllGone)
			}
		})
	}
	err = p.safely(func() error { return p.writeTo(ctx, common) })
	p.legs.close()
	p.drain(err)
	common.Close(plain(err))
	if !isSource(err) {
		cancel(err)
	}
	wg.Wait()
	if errors.Is(err, errAllGone) {
		return decisive(errs)
	}
	return err
}

// isSource reports whether an error is the end of the stream. What is queued is sent then.
func isSource(err error) bool {
	var source *sourceError
	return errors.As(err, &source)
}

// plain returns the cause with which the common source ends. The legs must not wait for a publisher: the push has done that.
func plain(err error) error {
	var source *sourceError
	if errors.As(err, &source) && !errors.Is(err, stream.ErrReplaced) {
		return source.err
	}
	return stream.ErrClosed
}

// decisive returns the error that ended the push: that of the first address that might have worked later, else of the first.
func decisive(errs []error) error {
	for _, err := range errs {
		if reason, _ := explain(err); (loss{reason: reason}).retriable() {
			return err
		}
	}
	return errs[0]
}

// newLegs makes the legs. All of them read the common source from its beginning.
func (p *push) newLegs(common *stream.Source) []*push {
	c := p.pushConfig
	c.src, c.cfg.Buffer.Enabled = common, false // the push itself has the buffer
	c.parts.Audio = sameSound{p}
	c.req.Options = Options{Codecs: p.req.Options.Codecs, Restore: p.req.Options.Restore, FailBack: p.req.Options.FailBack}
	c.req.Width, c.req.Height, c.req.FPS, c.req.KeyFrameInterval = 0, 0, 0, 0 // the pictures have been transcoded
	zero := &origin{clock: common}
	if before, resumed := p.clock.origin.get(); resumed {
		zero.set(before + p.toCommon(common))
	}
	var all []*push
	traced := p.traces.forLegs(len(p.addresses))
	for i, a := range p.addresses {
		c.traces = traced[i]
		c.target, c.log = a.target, c.traces.logger(p.plainLog.With("address", i+1))
		leg := newPush(c, p.claim, []*address{a}, nil)
		leg.front, leg.clock.origin, leg.clock.last = p, zero, p.clock.last
		leg.in.wake()
		all = append(all, leg)
	}
	p.legs.mu.Lock()
	p.legs.active = len(all)
	p.legs.mu.Unlock()
	p.legs.all.Store(&all)
	return all
}

// toCommon returns the time from the clock of the push to that of the common source.
func (p *push) toCommon(common *stream.Source) media.Timestamp {
	return media.Timestamp(p.in.clock.Load().Created().Sub(common.Created()))
}

// writeTo writes what is to be sent to the common source, until the stream or the push ends.
func (p *push) writeTo(ctx context.Context, common *stream.Source) error {
	shift := p.toCommon(common)
	frames := make([]media.Frame, 64)
	for {
		n, err := p.in.Read(ctx, frames)
		if err != nil {
			return p.readError(ctx, err)
		}
		n = p.voice.apply(frames[:n])
		for _, f := range frames[:n] {
			f.Time += shift
			if f.Kind() == media.Video {
				common.Video.Write(f)
			} else {
				common.Audio.Write(f)
			}
		}
		clear(frames[:n])
	}
}

// keep sends to the address of the leg until the stream or the push ends. When the retry policy gives up, and another leg still sends, the
// leg tries again from time to time, unless the request forbids that.
func (p *push) keep(ctx context.Context) error {
	defer p.in.Close()
	for {
		p.liveSince = time.Time{}
		err := p.persist(ctx)
		reason, detail := explain(err)
		if !elsewhere(reason) || ctx.Err() != nil || !p.req.Options.failsBack() || !p.front.legs.rest() {
			return err
		}
		if !p.liveSince.IsZero() && time.Since(p.liveSince) >= 2*p.back.least {
			p.back = newBackoff(p.back.least)
		}
		wait := time.Duration(float64(p.back.pause) * (1 - rand.Float64()/10)) // so that pushes that failed together do not come back together
		p.log.Warn("address lost, it is tried again later", "reason", reason, "err", printable(err), "pause", wait)
		p.move(pushStatus{State: Waiting, Reason: reason, Detail: detail, NextTry: time.Now().Add(wait)})
		switch over := p.rest(ctx, wait); {
		case errors.Is(context.Cause(ctx), errAllGone):
			return err
		case over != nil:
			return over
		}
		p.front.legs.resume()
		p.back.lost(0)
	}
}

// rest notes that a leg makes no attempts for a while. It returns false if no other leg does: then the push is over.
func (s *legs) rest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active <= 1 {
		return false
	}
	s.active--
	return true
}

func (s *legs) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active++
}

// over notes that a leg has ended. It reports whether no leg makes attempts any more.
func (s *legs) over(leg *push, err error) bool {
	reason, detail := explain(err)
	state := Failed
	if reason.Class() == Operator || reason == ReasonSourceLost {
		state = Ended
	}
	leg.move(pushStatus{State: state, Reason: reason, Detail: detail})
	leg.log.Info("address over", "reason", reason, "err", printable(err))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	return s.active == 0
}

// moved makes the state of the push follow from those of its legs. leg has just entered a state.
func (s *legs) moved(leg *push) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, all := s.push, s.list()
	if len(all) == 0 || s.closed || leaves(leg.machine.now()) {
		return
	}
	states := make([]pushStatus, len(all))
	for i, l := range all {
		states[i] = l.machine.now()
		if !states[i].State.up() && states[i].Reason != ReasonNone {
			states[i].Detail = l.target.String() + ": " + states[i].Detail
		}
	}
	if !slices.ContainsFunc(states, func(s pushStatus) bool { return !s.State.final() }) {
		return // the push ends now, and says why
	}
	p.at.Store(int32(slices.Index(all, leg)))
	p.follow(together(states, s.held))
}

// leaves reports whether a leg ends because its push ends, which says why.
func leaves(s pushStatus) bool {
	return s.State == Draining || s.State.final() && (s.Reason.Class() == Operator || s.Reason == ReasonSourceLost)
}

// close ends that the push follows its legs.
func (s *legs) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// holding notes that the push begins or stops to hold its stream.
func (s *legs) holding(held bool) {
	s.mu.Lock()
	s.held = held
	s.mu.Unlock()
	s.moved(s.list()[0])
}

// follow enters the state that follows from the legs, unless the push is there already.
func (p *push) follow(s pushStatus) {
	p.moving.Lock()
	defer p.moving.Unlock()
	now := p.machine.now()
	if now.State == s.State && now.Reason == s.Reason && now.Detail == s.Detail {
		return
	}
	if _, err := p.machine.to(s); err != nil {
		p.log.Error("push state", "err", err)
		return
	}
	p.tell(now.State, s)
}

// together returns the state of a push whose legs have these states. A push is live if one of its legs is; it is degraded if another one is
// not. A leg that connects for the first time is not missed yet.
func together(legs []pushStatus, held bool) pushStatus {
	var up, degraded, down []pushStatus
	for _, s := range legs {
		switch {
		case s.State == Degraded:
			up, degraded = append(up, s), append(degraded, s)
		case s.State.up():
			up = append(up, s)
		case s.Reason != ReasonNone:
			down = append(down, s)
		}
	}
	slices.SortStableFunc(degraded, func(a, b pushStatus) int { return cmp.Compare(severity(a.Reason), severity(b.Reason)) })
	switch {
	case len(up) > 0 && held:
		return holdingStatus
	case len(degraded) > 0 && degraded[0].Reason.Class() == FromSource:
		return degraded[0]
	case len(up) > 0 && len(down) > 0:
		return pushStatus{State: Degraded, Reason: ReasonAddressDown, Detail: down[0].Detail}
	case len(degraded) > 0:
		return degraded[0]
	case len(up) > 0:
		return pushStatus{State: Live}
	}
	// None is up. The push is as far as the leg that is farthest.
	best := legs[0]
	for _, s := range legs[1:] {
		switch {
		case s.State == Connecting && best.State != Connecting,
			s.State == Waiting && best.State == Waiting && s.NextTry.Before(best.NextTry),
			best.State.final(), best.State == Starting && s.State == Waiting:
			best = s
		}
	}
	return best
}

// severity orders the reasons of Degraded: those of the source first, because they concern all legs.
func severity(r Reason) int {
	if r.Class() == FromSource {
		return 0
	}
	return 1
}

// sameSound makes legs send the sound of the common source as it is.
type sameSound struct{ front *push }

func (sameSound) Check(media.AudioFormat) error { return nil }

func (sameSound) Feed(s *stream.Source, _ media.AudioFormat) (*stream.Feed, func(), error) {
	return s.Audio, func() {}, nil
}

func (t sameSound) Expect(s *stream.Source, _ media.AudioFormat) *media.Track {
	if track := s.Audio.Track(); track != nil {
		return track
	}
	return t.front.parts.Audio.Expect(t.front.source(), t.front.req.Options.Audio)
}

// addLegs adds to an Info what the legs have sent: the sum over all addresses. Delays are the largest ones. Frames are those of the leg that has sent most.
func (p *push) addLegs(i *Info) {
	for n, leg := range p.legs.list() {
		own := leg.Info()
		i.BytesSent += own.BytesSent
		i.BytesAcked += own.BytesAcked
		i.DroppedFrames += own.DroppedFrames
		i.DroppedLate += own.DroppedLate
		i.DroppedBytes += own.DroppedBytes
		i.DroppedTime += own.DroppedTime
		i.DroppedSound += own.DroppedSound
		i.QueuedBytes += own.QueuedBytes
		i.QueuedTime = max(i.QueuedTime, own.QueuedTime)
		i.RateBPS += own.RateBPS
		i.Resent += own.Resent
		i.RoundTrip = max(i.RoundTrip, own.RoundTrip)
		if own.AVKnown && (!i.AVKnown || own.AVOffset.Abs() > i.AVOffset.Abs()) {
			i.AVOffset, i.AVKnown = own.AVOffset, true
		}
		i.VideoFrames, i.AudioFrames = max(i.VideoFrames, own.VideoFrames), max(i.AudioFrames, own.AudioFrames)
		i.KeyInterval = max(i.KeyInterval, own.KeyInterval)
		if own.Width > 0 {
			i.Width, i.Height = own.Width, own.Height
		}
		a := &i.Addresses[n]
		a.InUse, a.State = !own.State.final(), own.State
		a.Reason, a.Detail = own.Reason, own.Detail
		a.BytesSent, a.BytesAcked = own.BytesSent, own.BytesAcked
	}
}
