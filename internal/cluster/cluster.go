package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// Cluster is this server among others. Its methods may be called from any goroutine.
type Cluster struct {
	cfg   Config
	parts Parts
	log   *slog.Logger

	conn    *nats.Conn
	store   *natsStore
	members *members
	gate    *gate
	lease   *lease
	names   *Names

	requests requests

	verifiers []func(context.Context) error // set before Run

	upkeep  chan struct{} // 1; look after the buckets now
	rewatch chan struct{} // 1; watch the nodes anew
	poll    chan struct{} // 1; read the nodes once, because nothing watches them
	reread  chan struct{} // 1; read anew what all servers share

	mu      sync.Mutex
	waiting map[int]context.CancelFunc // guarded by mu; of those who wait for answers
	waits   int                        // guarded by mu

	rebuilds  atomic.Int64
	skew      atomic.Int64 // ns; the clock of NATS minus ours
	reconnect atomic.Int64
}

// Parts are what a Cluster needs of others.
type Parts struct {
	Identity Identity
	Sealer   state.Sealer // equal on all nodes
	Hub      *stream.Hub  // nil in tests: this process has no streams
	Node     func() Node  // what to tell the others now; the identity is filled in
}

// The times of the link to NATS.
const (
	dialTimeout  = 2 * time.Second
	pingInterval = 2 * time.Second
	pingsOut     = 2
	// upkeepEvery is how often it is checked that the buckets are those of before. What they held is written anew within this time.
	upkeepEvery = 5 * time.Second
)

// New reads the files that the settings name, and opens the link to NATS in the background: a server starts without NATS, too. The caller
// calls Run once, and Close.
func New(cfg Config, parts Parts, log *slog.Logger) (*Cluster, error) {
	if parts.Node == nil {
		parts.Node = func() Node { return Node{State: NodeReady} }
	}
	c := &Cluster{
		cfg: cfg, parts: parts, log: log.With("node", parts.Identity.Node),
		members:  newMembers(parts.Identity.Owner, cfg.Lease),
		gate:     newGate(new(quickClock).now, cfg.Isolated != Stop),
		requests: requests{handlers: map[string]Handler{}}, waiting: map[int]context.CancelFunc{},
		upkeep: make(chan struct{}, 1), rewatch: make(chan struct{}, 1), poll: make(chan struct{}, 1), reread: make(chan struct{}, 1),
	}
	c.store = &natsStore{cluster: cfg.Name, replicas: cfg.Replicas, listing: newListing()}
	c.lease = &lease{
		store: c.store, me: parts.Identity, duration: cfg.Lease, gate: c.gate, clock: bootTime, node: parts.Node, verify: c.verify,
		renewal: c.renewal, log: log,
		admit: func(ctx context.Context) error { return admit(ctx, c.store, parts.Sealer) },
		poke:  make(chan struct{}, 1),
	}
	c.names = newNames(c)
	c.OnVerify(c.names.verify)
	c.Handle(verbName, c.names.answer)
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	if c.conn, err = nats.Connect(strings.Join(cfg.servers(), ","), options...); err != nil { // the callbacks run already
		return nil, fmt.Errorf("cluster_nats_url: %w", err)
	}
	c.store.conn = c.conn
	if c.store.js, err = jetstream.New(c.conn); err != nil {
		c.conn.Close()
		return nil, fmt.Errorf("cluster_nats_url: %w", err)
	}
	return c, nil
}

func (c *Cluster) options() ([]nats.Option, error) {
	id := c.parts.Identity
	options := []nats.Option{
		nats.Name("transponder " + id.Node + " " + id.Incarnation),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(func(int) time.Duration { return 200*time.Millisecond + rand.N(1800*time.Millisecond) }),
		nats.Timeout(dialTimeout), nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(pingsOut), nats.FlusherTimeout(patience),
		nats.ReconnectBufSize(-1), // what is sent late is no longer true
		nats.ConnectHandler(func(*nats.Conn) { c.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { c.reconnect.Add(1); c.connected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.disconnected()
			if err != nil {
				c.log.Warn("link to NATS lost", "err", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.log.Warn("NATS", "err", err) }),
	}
	if c.cfg.Creds != "" {
		if _, err := os.Stat(c.cfg.Creds); err != nil {
			return nil, fmt.Errorf("cluster_nats_creds: %w", err)
		}
		options = append(options, nats.UserCredentials(c.cfg.Creds))
	}
	if c.cfg.CAFile != "" {
		pem, err := os.ReadFile(c.cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cluster_nats_ca_file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cluster_nats_ca_file: %s holds no certificate", c.cfg.CAFile)
		}
		options = append(options, nats.Secure(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	}
	return options, nil
}

// connected is called when the link to NATS is there, or there again. What was true before may have changed.
func (c *Cluster) connected() {
	signal(c.upkeep)
	signal(c.rewatch)
	signal(c.reread)
	c.lease.renewNow()
}

// disconnected is called when the link to NATS is lost. What waits for an answer gets none.
func (c *Cluster) disconnected() {
	c.members.stale()
	c.mu.Lock()
	for _, cancel := range c.waiting {
		cancel()
	}
	c.mu.Unlock()
	if phase(c.lease.now.Load()) == doubtful {
		c.lease.renewNow() // finds that the process is isolated
	}
}

// whileLinked returns a context that ends when the link to NATS is lost. The caller calls done.
func (c *Cluster) whileLinked(ctx context.Context) (linked context.Context, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits++
	id := c.waits
	c.waiting[id] = cancel
	return ctx, func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
		cancel()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run takes part in the cluster until ctx ends. Then it tells the others that this process goes, and returns. What this process has must have
// been released before.
func (c *Cluster) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { c.pulse(ctx) })
	wg.Go(func() { c.keepBuckets(ctx) })
	wg.Go(func() { c.watchNodes(ctx) })
	wg.Go(func() { c.pollNodes(ctx) })
	wg.Go(func() { c.names.run(ctx) })
	wg.Go(func() { c.answer(ctx) })
	c.lease.run(ctx)
	return context.Cause(ctx)
}

// Close closes the link to NATS.
func (c *Cluster) Close() { c.conn.Close() }

// pulse lets the gate see pauses of this process.
func (c *Cluster) pulse(ctx context.Context) {
	t := time.NewTicker(pulseEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.gate.beat()
		}
	}
}

// keepBuckets makes the buckets that are missing, and lets everybody write anew what a lost bucket held.
func (c *Cluster) keepBuckets(ctx context.Context) {
	t := time.NewTicker(upkeepEvery)
	defer t.Stop()
	first, logged := true, false
	for {
		anew, err := c.store.prepare(ctx)
		switch {
		case err == nil && (first || anew):
			first, logged = false, false
			signal(c.rewatch)
			c.lease.renewNow()
			if anew {
				signal(c.reread)
				c.log.Warn("NATS has lost what it kept: this node writes its own records anew")
				if err := c.verify(ctx); err != nil && ctx.Err() == nil {
					c.log.Warn("node cannot write its records", "err", err)
				}
			}
		case err == nil:
			logged = false
		case ctx.Err() == nil && c.conn.IsConnected() && !logged:
			logged = true
			c.log.Warn("buckets in NATS", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.upkeep:
		case <-t.C:
		}
		c.store.listing.forget(time.Now())
	}
}

// verify reads, and where they are gone writes, all records of this process.
func (c *Cluster) verify(ctx context.Context) error {
	ctx, done := c.whileLinked(ctx)
	defer done()
	errs := make([]error, len(c.verifiers))
	for i, f := range c.verifiers {
		errs[i] = f(ctx)
	}
	return errors.Join(errs...)
}

// OnVerify registers what finds out which records are still this process's own, and writes those that are gone. It is called after the lease
// was lost, before the gate opens, and after NATS has lost a bucket; perhaps from two goroutines at once. Call OnVerify before Run.
func (c *Cluster) OnVerify(f func(context.Context) error) { c.verifiers = append(c.verifiers, f) }

// renewal is called after each renewal of the lease. failing is when the first of the renewals before it failed; zero: they did not.
//
// A watch that was there before that time is not trusted: what feeds it may have been lost with a NATS server, which is seen late. While there is no
// watch, each renewal lets the leases be read.
func (c *Cluster) renewal(err error, failing time.Time) {
	switch {
	case err != nil:
		c.members.unsure()
		return
	case !failing.IsZero() && c.members.watchedBefore(failing):
		c.members.stale()
		signal(c.rewatch)
	}
	if !c.members.watching() {
		signal(c.poll)
	}
}

// pollNodes reads the leases of all nodes when renewal asks for it, until ctx ends. A watch needs a leader of all of NATS to begin, which may take many
// seconds. A read needs only the leader of the leases, and a renewal has just found that one.
func (c *Cluster) pollNodes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.poll:
		}
		doubts := c.members.doubted()
		all, err := c.store.listNow(ctx, nodesBucket, "")
		if err != nil {
			continue // the next renewal asks again
		}
		nodes := map[Owner]Node{}
		for _, r := range all {
			o, ok := parseKey(r.Key)
			n, err := parseNode(r.Value)
			if ok && err == nil {
				n.Owner = o
				nodes[o] = n
			}
		}
		c.logMembers(c.members.read(nodes, doubts))
	}
}

// watchNodes follows the leases of all nodes.
func (c *Cluster) watchNodes(ctx context.Context) {
	pause := firstPause
	for {
		began := time.Now()
		err := c.watch(ctx)
		c.members.unwatched()
		if ctx.Err() != nil {
			return
		}
		c.rebuilds.Add(1)
		if err != nil && c.conn.IsConnected() {
			c.log.Info("watch of the nodes is rebuilt", "err", err)
		}
		if time.Since(began) > maxPause {
			pause = firstPause
		}
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
		case <-c.rewatch:
		case <-t.C:
		}
		t.Stop()
		pause = min(2*pause, maxPause)
	}
}

// The pauses between two watches that fail.
const (
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// errRewatch ends a watch that must be built anew.
var errRewatch = errors.New("the link or the bucket has changed")

// watch reads the bucket of nodes, and follows it until something breaks.
func (c *Cluster) watch(ctx context.Context) error {
	select { // this is the watch that was asked for
	case <-c.rewatch:
	default:
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(makeTimeout, cancel) // the watch lives as long as its context, so a timeout of the context is no help
	kv, err := c.store.js.KeyValue(ctx, c.store.bucket(nodesBucket))
	if err != nil {
		return err
	}
	w, err := kv.WatchAll(ctx) // it ends with ctx; its Stop would wait 5 s for a NATS that does not answer
	if err != nil {
		return err
	}
	late.Stop()
	nodes := map[Owner]Node{} // nil once all are known
	heard, renewed := time.Now(), c.lease.renewed.Load()
	silence := time.NewTicker(c.cfg.Lease)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.rewatch:
			return errRewatch
		case now := <-silence.C:
			n := c.lease.renewed.Load()
			if nodes != nil || n > renewed+1 && now.Sub(heard) > c.cfg.Lease { // our own renewals do not come
				return errors.New("the watch is silent")
			}
			renewed = n
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return errors.New("the watch was closed")
			case e == nil:
				c.logMembers(c.members.watch(nodes))
				nodes = nil
			default:
				if c.entry(e, nodes) {
					heard = time.Now()
				}
			}
		}
	}
}

// entry takes what a watch tells. nodes collects what is there already, and is nil for news. It reports whether the news are of this process.
func (c *Cluster) entry(e jetstream.KeyValueEntry, nodes map[Owner]Node) (own bool) {
	o, ok := parseKey(e.Key())
	if !ok {
		return false
	}
	own = o == c.parts.Identity.Owner
	if e.Operation() != jetstream.KeyValuePut {
		properly := e.Operation() == jetstream.KeyValueDelete
		if nodes == nil && c.members.remove(o, properly) && !own {
			c.log.Info("node lost", "other", o.Node, "left", properly)
		} else if nodes != nil && properly {
			c.members.remove(o, true)
		}
		return own
	}
	n, err := parseNode(e.Value())
	if err != nil {
		c.log.Warn("node tells what cannot be read", "other", o.Node, "err", err)
		return own
	}
	n.Owner = o
	switch {
	case nodes != nil:
		nodes[o] = n
	case c.members.set(n) && !own:
		c.log.Info("node joined", "other", o.Node)
	}
	if own && nodes == nil {
		c.skew.Store(int64(time.Until(e.Created())))
	}
	return own
}

func (c *Cluster) logMembers(came, went []Owner) {
	for _, o := range came {
		if o != c.parts.Identity.Owner {
			c.log.Info("node joined", "other", o.Node)
		}
	}
	for _, o := range went {
		if o != c.parts.Identity.Owner {
			c.log.Info("node lost", "other", o.Node)
		}
	}
}

// parseKey is the reverse of Owner.key.
func parseKey(key string) (Owner, bool) {
	for i := range len(key) {
		if key[i] == '.' {
			return Owner{key[:i], key[i+1:]}, i > 0 && i+1 < len(key)
		}
	}
	return Owner{}, false
}

// Self returns this process.
func (c *Cluster) Self() Owner { return c.parts.Identity.Owner }

// Me is Self, for Peers.
func (c *Cluster) Me() Owner { return c.Self() }

// Lives reports whether a process may still run pushes.
func (c *Cluster) Lives(o Owner) bool { return c.members.Lives(o) }

// Patience is how long a publisher must have been here before the records of a process that does not live may be taken.
func (c *Cluster) Patience(o Owner) time.Duration {
	if o.Node == c.parts.Identity.Node && o.Incarnation == c.parts.Identity.Before {
		return 0 // it had our folder, so it is dead
	}
	return c.members.Patience(o)
}

// Here returns how long the publisher of a stream has been connected to this process, 0 if he is not or sends nothing.
func (c *Cluster) Here(stream string) time.Duration {
	s, ok := c.names.source(stream)
	if !ok || s.Info().IsRelay() || s.Quiet(time.Now()) > fedFor/2 {
		return 0
	}
	return s.LiveFor()
}

// Changed returns a channel that is closed when a process has come or gone.
func (c *Cluster) Changed() <-chan struct{} { return c.members.Changed() }

// Gate returns the gate of this process.
func (c *Cluster) Gate() Gate { return c.gate }

// Keeper returns the records of the cluster.
func (c *Cluster) Keeper() state.Keeper { return c.store }

// Sealer returns what seals the secrets of the cluster.
func (c *Cluster) Sealer() state.Sealer { return c.parts.Sealer }

// Salt returns the key of the hashes in the ids of pushes, which all nodes share.
func (c *Cluster) Salt(ctx context.Context) ([]byte, error) {
	return Salt(ctx, c.store, c.parts.Sealer, false)
}

// Names returns who has which stream.
func (c *Cluster) Names() *Names { return c.names }

// Nodes returns the processes that live, by the name of the node.
func (c *Cluster) Nodes() []Node { return c.members.all() }

// Process returns the newest process of a node.
func (c *Cluster) Process(node string) (o Owner, ok bool) {
	for _, n := range c.Nodes() { // the newest comes last
		if n.Node == node {
			o, ok = n.Owner, true
		}
	}
	return o, ok
}

// Known reports whether Nodes is what the cluster holds now.
func (c *Cluster) Known() bool { return c.members.fresh() }

// Conn returns the link to NATS. It is never nil; its methods fail while NATS is away.
func (c *Cluster) Conn() *nats.Conn { return c.conn }

// JetStream returns what stands on Conn.
func (c *Cluster) JetStream() jetstream.JetStream { return c.store.js }

// Replicas returns how many NATS servers are to keep what is made now: the setting, or else what fits the NATS server that this one is linked to.
func (c *Cluster) Replicas() int { return c.store.copies() }

// Told lets the others know at once what Parts.Node says now.
func (c *Cluster) Told() { c.lease.renewNow() }

// unreadyAfter is how long a server that is isolated still takes publishers: those that come are its own, and come back after a fault of the
// network.
const unreadyAfter = 10 * time.Second

// Ready returns nil if new publishers may be sent to this server, or why not. The error wraps ErrJoining, ErrDuplicateNode, ErrKey,
// ErrSchema or transponder.ErrIsolated.
func (c *Cluster) Ready() error {
	switch phase(c.lease.now.Load()) {
	case joining:
		return ErrJoining
	case refused:
		if err := c.lease.refusal.Load(); err != nil {
			return *err
		}
		return ErrJoining
	}
	if _, _, lostAt := c.gate.stats(); !lostAt.IsZero() && time.Since(lostAt) > unreadyAfter {
		return transponder.ErrIsolated
	}
	return nil
}

// Informed returns nil if this process knows which others live, so that what nobody of them has does not exist. Unlike Ready it fails as soon as NATS is
// away.
func (c *Cluster) Informed() error {
	if err := c.Ready(); err != nil {
		return err
	}
	if !c.Known() {
		return transponder.ErrIsolated
	}
	return nil
}

// Stats are figures of a Cluster.
type Stats struct {
	Nodes        int
	Isolated     bool
	Lease        time.Duration // what is left of the lease
	Renew        time.Duration // how long the last renewal took
	Renewals     int64
	RenewErrors  int64
	Isolations   int64
	Shut         time.Duration // how long the gate was shut so far
	Rebuilds     int64         // of the watch
	Skew         time.Duration // the clock of NATS minus ours
	Reconnects   int64
	Requests     RequestStats
	Answered     int64 // requests of other servers
	Busy         int64 // of these, those that were refused because too many were being answered
	Names        int   // names that this process has
	Provisional  int   // of these, names of which the cluster does not know yet
	NameConflict int64
}

// Stats returns the figures.
func (c *Cluster) Stats() Stats {
	lease, shut, lostAt := c.gate.stats()
	held, provisional := c.names.count()
	return Stats{
		Nodes: len(c.members.all()), Isolated: !lostAt.IsZero(), Lease: lease, Renew: time.Duration(c.lease.renewTime.Load()),
		Renewals: c.lease.renewed.Load(), RenewErrors: c.lease.renewFailed.Load(), Isolations: c.lease.isolations.Load(), Shut: shut,
		Rebuilds: c.rebuilds.Load(), Skew: time.Duration(c.skew.Load()), Reconnects: c.reconnect.Load(),
		Requests: c.requests.sent.read(), Answered: c.requests.answered.Load(), Busy: c.requests.busy.Load(),
		Names: held, Provisional: provisional, NameConflict: c.names.conflicts.Load(),
	}
}
