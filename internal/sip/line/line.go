package line

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"transponder/internal/panics"
	"transponder/internal/sip/dialog"
)

const (
	// maxArrived is how many messages wait between the sockets and the goroutine of the Line.
	maxArrived = 512
	// reportEach is how often the log says what was dropped.
	reportEach = time.Minute
)

// ErrClosed means that the Line runs no more.
var ErrClosed = errors.New("SIP is shut down")

// Parts are what a Line needs from others. All functions may be called from any goroutine, and must not block.
type Parts struct {
	// Allowed says whether a request may go to an address. host is the name or the number in the URI that leads there. nil: to all.
	// Addresses that belong to no single host are always refused.
	Allowed func(host string, remote netip.AddrPort) error
	// Welcome says whether a source may talk to us. It is asked before a datagram is parsed and when a connection is made, but not for
	// addresses that we sent a message to within the last hour. nil: nobody is welcome.
	Welcome func(source netip.AddrPort, transport string) bool
	// Incoming takes a request from outside, also the ACK of a 2xx. It is called from the goroutine of the Line. The request has to be given
	// to Reply or Ignore, but for an ACK.
	Incoming func(*dialog.Request, Origin)
	// Certificate returns the certificate of the TLS server. nil: there is no TLS server.
	Certificate func() *tls.Certificate
	Sockets     *Sockets        // to use; the Line closes them. nil: the Line opens its own
	Resolver    Resolver        // nil: net.DefaultResolver
	Panics      *panics.Counter // nil: panics are only logged
}

// Line sends and receives SIP messages. All methods may be called from any goroutine.
type Line struct {
	cfg    Config
	parts  Parts
	log    *slog.Logger
	bind   netip.Addr // of the settings; not valid: all addresses
	counts counters
	gate   *gate

	ports atomic.Pointer[ports] // nil before the sockets are open

	commands *queue
	arrived  chan task     // from the sockets
	opening  chan struct{} // held while sockets are opened or closed
	sockets  *Sockets      // guarded by opening
	closed   bool          // guarded by opening

	transactions *transactions // owned by Run
	links        *links        // owned by Run
	fatal        func(error)   // ends Run; set by Run before it serves the sockets
}

// New makes a Line. It opens nothing and starts nothing.
func New(cfg Config, parts Parts, log *slog.Logger) *Line {
	if parts.Allowed == nil {
		parts.Allowed = func(string, netip.AddrPort) error { return nil }
	}
	if parts.Welcome == nil {
		parts.Welcome = func(netip.AddrPort, string) bool { return false }
	}
	if parts.Resolver == nil {
		parts.Resolver = net.DefaultResolver
	}
	l := &Line{
		cfg: cfg, parts: parts, log: log,
		commands: newQueue(), arrived: make(chan task, maxArrived), opening: make(chan struct{}, 1),
	}
	l.bind, _ = netip.ParseAddr(cfg.Address) // Validate has checked it
	l.gate = newGate(l.welcome, &l.counts)
	l.links = newLinks(cfg, l.bind, &l.counts, parts.Panics, log)
	l.transactions = newTransactions(cfg.Timers, l.links, l.gate, parts, l.sentBy)
	l.links.lost = l.transactions.lost
	return l
}

// welcome asks Parts.Welcome. A source at which that panics is not welcome.
func (l *Line) welcome(source netip.AddrPort, transport string) (ok bool) {
	_ = l.parts.Panics.Run(l.log, "panic while a SIP source was judged", func() error {
		ok = l.parts.Welcome(source, transport)
		return nil
	})
	return ok
}

// Run carries messages until ctx ends, or a socket fails. Nothing is called back after Run has returned.
func (l *Line) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel(nil)
		l.commands.close()
		l.close()
		wg.Wait()
	}()
	l.links.spawn = func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }
	l.links.post = l.deliver
	l.links.received = l.received
	l.fatal = cancel
	if l.cfg.Listen {
		if err := l.open(ctx); err != nil {
			return err
		}
	}
	l.loop(ctx)
	return context.Cause(ctx)
}

// loop does the work of the goroutine that owns the transactions and the connections.
func (l *Line) loop(ctx context.Context) {
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	alive := time.NewTicker(l.cfg.Timers.Alive)
	defer alive.Stop()
	minute := time.NewTicker(reportEach)
	defer minute.Stop()
	var reported Stats
	for {
		if next := l.transactions.schedule.next(); !next.IsZero() {
			due.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			report(l.log, reported, l.Stats())
			return
		case f := <-l.arrived:
			l.do(f)
		case <-l.commands.wake:
			for _, f := range l.commands.take() {
				l.do(f)
			}
		case <-due.C:
			l.do(l.transactions.schedule.run)
		case <-alive.C:
			l.do(l.links.keepAlive)
		case <-minute.C:
			reported = report(l.log, reported, l.Stats())
		}
	}
}

// do runs a task.
func (l *Line) do(f task) { l.confine(func() { f(time.Now()) }) }

// confine runs what one message leads to. A panic ends the work on this message alone.
func (l *Line) confine(f func()) {
	_ = l.parts.Panics.Run(l.log, "panic while a SIP message was handled", func() error {
		f()
		return nil
	})
}

// deliver hands over a task from a connection. The connection waits if the goroutine of the Line is behind.
func (l *Line) deliver(ctx context.Context, f task) {
	select {
	case l.arrived <- f:
	case <-ctx.Done():
	}
}

// received takes the bytes of one message. wait says whether the source can be made to wait; otherwise the message is dropped if there is
// no room.
func (l *Line) received(ctx context.Context, data []byte, from Origin, wait bool) {
	if !l.gate.admitsMethod(data) {
		return
	}
	m, err := parse(data)
	switch {
	case errors.Is(err, errTooMany):
		l.counts.size.Add(1)
		return
	case err != nil:
		l.counts.malformed.Add(1)
		return
	}
	f := func(now time.Time) { l.transactions.receive(now, m, from) }
	if wait {
		l.deliver(ctx, f)
		return
	}
	select {
	case l.arrived <- f:
	default:
		l.counts.full.Add(1)
	}
}

// Send sends a request, and tells its owner what becomes of it. An ACK has no transaction. A CANCEL goes the way of the INVITE with the same
// Call-ID, From and number, and p is not read. A request that is for no dialog yet goes to the next address of p if an address refuses the
// connection, answers 503, or does not answer for 4 s. A request that nobody answers is repeated for 32 s over UDP; then nothing is said.
func (l *Line) Send(r *dialog.Request, p Path, o Owner) {
	l.command(func(now time.Time) { l.transactions.send(now, r, p, o) })
}

// Reply sends a response to a request that came by Parts.Incoming. A 2xx to an INVITE may be given again, to repeat it.
func (l *Line) Reply(r *dialog.Request, p *dialog.Response) {
	l.command(func(now time.Time) { l.transactions.reply(now, r, p) })
}

// Ignore leaves a request without any answer. Its repetitions come to Parts.Incoming again.
func (l *Line) Ignore(r *dialog.Request) {
	l.command(func(time.Time) { l.transactions.ignore(r) })
}

// Cancelled returns the INVITE that a CANCEL is for, as Parts.Incoming got it, nil if there is none.
func (l *Line) Cancelled(cancel *dialog.Request) *dialog.Request {
	if s, ok := cancel.Transaction.(*server); ok {
		return s.cancels
	}
	return nil
}

// Keep keeps the way to a peer open until release is called: a connection is not closed, and over UDP the NAT in between is reminded. It is
// for registrations, and for calls. broken is told each time that a connection on this way ends, or cannot be made, after the owners of the
// requests on it were told. It may be nil. It is called from the goroutine of the Line, must not block, and may be called once more while
// release is called.
func (l *Line) Keep(p Path, broken func(error)) (release func()) {
	k := &keeper{broken}
	l.command(func(time.Time) { l.links.keep(p.route(), k) })
	return sync.OnceFunc(func() {
		l.command(func(time.Time) { l.links.release(p.route(), k) })
	})
}

func (l *Line) command(f task) {
	if !l.commands.put(f) {
		l.counts.full.Add(1)
	}
}

// Stats returns the present figures.
func (l *Line) Stats() Stats { return l.counts.stats() }
