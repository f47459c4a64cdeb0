package transponder

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/trace"
	"transponder/internal/transcode/picture"
)

// pushConfig is what a push is made from. It does not change. The dialer of the push has a copy.
type pushConfig struct {
	id      string
	cfg     Config
	req     Request
	target  pushTarget     // of the first address
	src     *stream.Source // the first source; others may follow with options.onSourceLoss, or when the stream is taken over
	profile picture.Profile

	parts   Parts
	journal *Journal
	log     *slog.Logger
	panics  *panics.Counter // of all pushes
	traces  *traces         // nil: there are none

	plainLog *slog.Logger // log without the trace

	switched *switchCounters // of all pushes
	figures  *figures        // of all pushes
}

// push sends one stream to one RTMP address. It holds what outlives a connection; what belongs to one connection is in link.
//
// Registry calls runSafely in a goroutine of the push. Methods that change a field "owned by run" are for that goroutine; the others may be
// called from any goroutine.
type push struct {
	pushConfig

	claim     Claim     // to the push's record
	restored  *restored // nil: the push began in this process
	in        *holder   // what the push reads
	dialer    *dialer
	voice     voice
	machine   *machine
	started   time.Time
	attempts  atomic.Int32
	switches  atomic.Int32  // from one source to another
	seq       atomic.Uint64 // of the last event
	liveAfter atomic.Int64  // nanoseconds; Info.LiveAfter
	known     atomic.Bool   // the push has been live, so what is at the address is no secret any more

	addresses []*address   // that of the request, then those of options.backupUrls
	at        atomic.Int32 // index of the present address, or of the last one
	legs      legs         // of a push that sends to all addresses at the same time
	front     *push        // the push of which this one is a leg; nil: it is none

	moving sync.Mutex // held while the state changes and the journal records it, so that the order of the journal is right; taken before mu

	saving sync.Mutex // held while a record is made and handed on, so that an older one never follows a newer; taken after moving, before mu

	clock     timeline   // owned by run
	opus      bool       // owned by run; the present server takes Opus
	everLive  bool       // owned by run
	liveSince time.Time  // owned by run; since when the push is live without a break, zero while it is not
	lost      pushStatus // owned by run; why the push goes on to another address at once; the zero value: it does not
	// When the stream last moved to another connection, and when it last did because a server asked. Written by run between two links, whose
	// goroutines read them.
	movedAt, followedAt time.Time
	back                backoff // how long to wait before the stream returns to the first address; as movedAt

	mu                  sync.Mutex
	link                *link              // guarded by mu; the present one, nil while there is none
	pastSent, pastAcked int64              // guarded by mu; bytes of the connections before
	pastResent          int64              // guarded by mu; TCP segments that the connections before sent again
	sentUpTo            [2]media.Timestamp // guarded by mu; of the last sound and the last picture that the present connection has sent
	sentKinds           [2]bool            // guarded by mu; it has sent sound, pictures
	meter               stream.Meter       // guarded by mu
	frames              [2]int64           // guarded by mu; audio, video sent
	picture             *media.Track       // guarded by mu; of the last picture sent
	lastKey             media.Timestamp    // guarded by mu; of the last key frame sent
	keyInterval         time.Duration      // guarded by mu
}

// newPush makes a push to some addresses that begins, if it is to begin with a sound file, with that file's player.
func newPush(c pushConfig, claim Claim, addresses []*address, player SoundPlayer) *push {
	p := &push{
		pushConfig: c, claim: claim, addresses: addresses, machine: newMachine(), started: time.UnixMilli(claim.Record().Begun), back: newBackoff(c.cfg.FailBack),
		clock: timeline{origin: new(origin), last: -1},
	}
	p.legs.push = p
	p.in = newHolder(p.holding(), c.src)
	p.in.useSpares(p.spares())
	p.dialer = newDialer(c, p.source)
	p.voice.log = c.log
	p.voice.muted = c.req.Options.Action == actionMute
	if player != nil {
		p.voice.file, p.voice.loop, p.voice.player = c.req.Options.SoundFile, c.req.Options.Loop, player
	}
	p.voice.ended = p.save
	return p
}

// run publishes until the stream ends, ctx ends or no further attempt is made, and returns which of these it was. The state is final when
// run returns.
func (p *push) run(ctx context.Context) error {
	defer p.in.Close()
	err := p.untilLive(ctx)
	if err == nil {
		err = p.persist(ctx)
	}
	p.finish(ctx, err)
	return err
}

// untilLive begins to read the stream, and waits until its publisher is connected.
func (p *push) untilLive(ctx context.Context) error {
	if p.restored != nil {
		return p.awaitPublisher(ctx)
	}
	_, waits := trace.Start(ctx, "publisher")
	defer waits.End()
	p.in.wake() // before the stream is live and before dialling, so that the push begins with the first key frame of the stream
	return p.waitLive(ctx)
}

// name returns the name of the stream.
func (p *push) name() string { return p.req.StreamName }

// waitLive waits until the publisher of the stream, or of a backup stream, is connected. Another publisher may take over the name meanwhile.
func (p *push) waitLive(ctx context.Context) error {
	src := p.src
	var look <-chan time.Time
	if p.in.spares != nil {
		ticker := time.NewTicker(spareEvery)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-src.Live():
			return nil
		case <-look:
			if p.in.spares.another(p.parts.Hub, src) {
				return nil // the holder goes on to that source
			}
		case <-src.Done():
			err := src.Err()
			next, ok := firstSource(p.parts.Hub, p.req)
			if !ok || next == src || !errors.Is(err, stream.ErrReplaced) && next.Info().Name == src.Info().Name {
				return &sourceError{err}
			}
			src = next
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// persist makes one attempt after another, with the pauses of the retry policy, and returns the error that decided that there is no other
// attempt. If an address fails, the other ones are tried at once; the policy decides when all of them have failed.
func (p *push) persist(ctx context.Context) error {
	if p.req.Options.Simultaneous {
		return p.sendToAll(ctx)
	}
	policy := retryPolicy{Restore: p.cfg.restore(p.req.Options.Restore)}
	round := newRound(len(p.addresses), -1)
	if p.restored != nil && !p.req.Options.failsBack() {
		round.beginAt(int(p.at.Load())) // it stays where it was before the restart
	}
	for {
		if err := p.untilTogether(ctx); err != nil {
			return err
		}
		err := p.attempt(ctx, round.next(), round.left() > 0)
		failed := p.failed(err)
		p.traces.failed(failed.reason, failed.detail)
		if len(p.addresses) > 1 && failed.healthy >= policy.HealthyFor {
			round = newRound(len(p.addresses), failed.address)
		}
		round.failed(failed)
		if round.left() > 0 && elsewhere(failed.reason) && ctx.Err() == nil {
			p.log.Warn("push lost, trying its next address", "reason", failed.reason, "err", printable(err))
			p.lost = pushStatus{Reason: failed.reason, Detail: failed.detail}
			p.in.Restart() // the next connection begins with a key frame
			p.in.RequestKeyFrame()
			continue
		}
		if !elsewhere(failed.reason) { // the cause is not at the address, so the others do not matter
			round.worst = failed
		}
		worst := round.worst
		p.traces.over(worst.reason, worst.detail)
		pause, again := policy.next(worst.loss, rand.Float64())
		if !again {
			return worst.err
		}
		p.log.Warn("push lost", "reason", worst.reason, "err", printable(worst.err), "pause", pause)
		p.move(pushStatus{State: Waiting, Reason: worst.reason, Detail: worst.detail, NextTry: time.Now().Add(pause)})
		if err := p.rest(ctx, pause); err != nil {
			return err
		}
		round = newRound(len(p.addresses), -1)
	}
}

// failed notes at the present address why an attempt has ended.
func (p *push) failed(err error) trial {
	at := p.present()
	reason, detail := explain(err)
	t := trial{loss: loss{reason: reason, ever: p.everLive, insist: p.insists()}, address: int(p.at.Load()), err: err, detail: detail}
	if len(p.addresses) > 1 {
		t.ever = at.hasAccepted()
	}
	if status := (*rtmp.StatusError)(nil); errors.As(err, &status) {
		t.full = isFull(status) && reason == ReasonPeerClosed
	}
	if !p.liveSince.IsZero() {
		t.healthy = time.Since(p.liveSince)
		if t.address == 0 && !p.movedAt.IsZero() {
			p.back.lost(time.Since(p.movedAt))
		}
	}
	at.fail(reason, detail)
	return t
}

// attempt publishes on a new connection to an address, and then on each connection to which the stream moves from there. It returns why the
// last of them ended. If there are other addresses to try, connecting gets less time.
func (p *push) attempt(ctx context.Context, address int, others bool) error {
	defer p.use(nil)
	p.at.Store(int32(address))
	ctx = p.traces.trying(ctx, p)
	if !slices.Contains(p.req.Options.Codecs, "opus") { // with "opus" the sound depends on what the server offers
		if err := p.in.addSound(); err != nil {
			return p.readError(ctx, err)
		}
	}
	next := successor{target: p.present().target, address: address}
	addrs := p.present().take()
	for {
		if next.link == nil {
			l, err := p.begin(ctx, next, addrs, others)
			if err != nil {
				return err
			}
			p.opus = l.mux.Allowed(media.Opus)
			if err := p.in.addSound(); err != nil {
				l.conn.Close()
				return p.readError(ctx, err)
			}
			p.traces.connected(ctx)
			next.link, addrs = l, nil
		}
		var err error
		if next, err = next.link.run(ctx); err != nil {
			return err
		}
		p.movedAt = time.Now()
		others = false
		if next.link != nil { // the server has taken the stream already
			p.addresses[next.address].accept()
		}
	}
}

// begin connects while there is no other connection. If that takes long, the frames that were queued meanwhile are thrown away: with them
// the push would be late for ever. If there are other addresses to try, half of the time is left to them.
func (p *push) begin(ctx context.Context, to successor, addrs []netip.Addr, others bool) (*link, error) {
	begun := time.Now()
	if err := p.passLimit(ctx); err != nil {
		return nil, err
	}
	before := p.before()
	p.lost = pushStatus{}
	p.at.Store(int32(to.address))
	p.tried(to.address)
	p.move(pushStatus{State: Connecting, Reason: before.Reason, Detail: before.Detail})
	p.liveSince = time.Time{}
	p.use(nil)
	limit := p.cfg.ConnectTimeout
	if others {
		limit /= 2
	}
	l, err := p.connect(ctx, to, addrs, limit)
	if err == nil && time.Since(begun) > time.Second {
		p.in.Restart()
	}
	return l, err
}

// before says why the push has no connection: the reason and the detail of a status. Only run may call it.
func (p *push) before() pushStatus {
	if p.lost.Reason != ReasonNone {
		return p.lost
	}
	return p.machine.now()
}

// tried counts a connection to an address.
func (p *push) tried(address int) {
	p.attempts.Add(1)
	p.addresses[address].tried()
	if p.front != nil {
		p.front.attempts.Add(1)
	}
}

// connect makes a link to a target, or to the server to which the target's server redirects us.
func (p *push) connect(ctx context.Context, to successor, addrs []netip.Addr, limit time.Duration) (*link, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := p.dialer.connect(limited, to.target, addrs)
	if err != nil {
		return nil, err
	}
	return newLink(p, c, to.address), nil
}

// rest waits for the end of a pause. Nothing is read meanwhile. It fails if the stream ends for good before.
func (p *push) rest(ctx context.Context, pause time.Duration) error {
	p.in.sleep()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	src := p.in.Source()
	gone := src.Done()
	var expired <-chan time.Time
	for {
		select {
		case <-timer.C:
			p.in.wake()
			return nil
		case <-gone:
			if err := p.in.ending(); err != nil {
				return &sourceError{err}
			}
			gone = nil // the push holds the stream when it is connected again
			p.in.startWaiting()
			expired = time.After(time.Until(p.in.until))
		case <-expired:
			if p.in.expired() {
				return &sourceError{src.Err()}
			}
			expired = time.After(watchEvery) // somebody has the name now, but may leave again
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// runSafely runs the push to a final state.
func (p *push) runSafely(ctx context.Context) {
	err := p.safely(func() error { return p.run(ctx) })
	if s := p.machine.now().State; !s.final() && !(s == Awaiting && parked(err)) {
		p.finish(ctx, err)
	}
}

// safely runs f. If f panics, the error ends this push and no other.
func (p *push) safely(f func() error) error {
	return p.panics.Run(p.log, "push panicked", f)
}
