package cluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"transponder/internal/transponder"
)

const (
	// pastFor and maxPast bound what NATS keeps of pushes that are over, and each process in its memory.
	pastFor = 7 * 24 * time.Hour
	maxPast = 10_000
	// pastWaiting is how many may wait for NATS. More are in the log of this server, and are sent when it is started again.
	pastWaiting = 500
)

// PastParts are what a Past works with.
type PastParts struct {
	JetStream jetstream.JetStream
	Name      string // of the cluster
	Node      string // this one
	Replicas  func() int
	// Written returns the lines that this server has written, newest first.
	Written func(ctx context.Context) ([]PastLine, error)
	// Read reads a line.
	Read func(line []byte) (transponder.Info, error)
	Log  *slog.Logger
}

// PastLine is a push that is over, as a server has written it. Its secrets are sealed.
type PastLine struct {
	Node string
	ID   string // of the push
	Text []byte
}

// Past has the pushes of all servers that are over, also of servers that are gone. Any goroutine may call its methods.
type Past struct {
	parts PastParts
	wake  chan struct{} // 1

	lost atomic.Int64 // lines that had no room while NATS was away

	mu      sync.Mutex
	waiting []PastLine                   // guarded by mu; of this server, oldest first
	past    transponder.Past             // guarded by mu; of all servers
	places  map[string]transponder.Place // guarded by mu; of the pushes in past, by their ids
	last    uint64                       // guarded by mu; the number in NATS of the line that was read last
	made    time.Time                    // guarded by mu; when the stream was made that last belongs to
}

// NewPast makes a Past. The caller calls Run once.
func NewPast(parts PastParts) *Past {
	return &Past{parts: parts, wake: make(chan struct{}, 1), places: map[string]transponder.Place{}}
}

// Add adds a push of this server that is over. It does not block.
func (p *Past) Add(id string, text []byte) {
	p.mu.Lock()
	p.waiting = append(p.waiting, PastLine{p.parts.Node, id, text})
	if extra := len(p.waiting) - pastWaiting; extra > 0 {
		p.waiting = slices.Clone(p.waiting[extra:])
		p.lost.Add(int64(extra))
	}
	p.mu.Unlock()
	signal(p.wake)
}

// Newest returns the newest n pushes that are over, newest first. Nobody may change them.
func (p *Past) Newest(n int) []*transponder.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.past.Newest(n)
}

// PastStats are figures of a Past.
type PastStats struct {
	Waiting int   // pushes of this server that are over and that NATS has not taken yet
	Lost    int64 // those that the others never get: too many waited
}

// Stats returns the figures.
func (p *Past) Stats() PastStats { return PastStats{p.Waiting(), p.lost.Load()} }

// Waiting returns how many pushes of this server that are over NATS has not taken yet.
func (p *Past) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// Run sends what this server adds, and reads what all have added, until ctx ends. Stop it after the pushes.
func (p *Past) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { again(ctx, p.parts.Log, "history of the cluster", p.copy) })
	wg.Go(func() { again(ctx, p.parts.Log, "history of the cluster", p.follow) })
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventWrite)
	defer cancel()
	_ = p.flush(last) // what NATS does not take now is sent at the next start
	return context.Cause(ctx)
}

func (p *Past) stream(ctx context.Context) (jetstream.Stream, error) {
	return openLog(ctx, p.parts.JetStream, jetstream.StreamConfig{
		Name: p.parts.Name + "_HISTORY", Subjects: []string{p.parts.Name + ".over.>"}, Storage: jetstream.FileStorage, MaxAge: pastFor, MaxMsgs: maxPast,
		MaxMsgSize: maxRecord,
	}, p.parts.Replicas)
}

func (p *Past) subject(id string) string { return p.parts.Name + ".over." + p.parts.Node + "." + id }

// copy sends what the process before has written and not sent, and then what is added.
func (p *Past) copy(ctx context.Context) error {
	if err := p.catchUp(ctx); err != nil {
		return err
	}
	for {
		if err := p.flush(ctx); err != nil {
			return err
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// catchUp sends what this server has written after the last line that NATS has.
func (p *Past) catchUp(ctx context.Context) error {
	s, err := p.stream(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	last := ""
	m, err := s.GetLastMsgForSubject(ctx, p.subject(">"))
	switch {
	case err == nil:
		last = m.Subject
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return err
	}
	lines, err := p.parts.Written(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(lines, func(l PastLine) bool { return p.subject(l.ID) == last }); i >= 0 {
		lines = lines[:i]
	}
	slices.Reverse(lines)
	for _, l := range lines {
		if err := p.send(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what waits, until NATS does not take it.
func (p *Past) flush(ctx context.Context) error {
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.mu.Unlock()
			return nil
		}
		l := p.waiting[0]
		p.mu.Unlock()
		limit, cancel := context.WithTimeout(ctx, eventWrite)
		err := p.send(limit, l)
		cancel()
		if err != nil {
			return err
		}
		p.mu.Lock()
		if len(p.waiting) > 0 && p.waiting[0].ID == l.ID {
			p.waiting = p.waiting[1:]
		}
		p.mu.Unlock()
	}
}

func (p *Past) send(ctx context.Context, l PastLine) error {
	m := &nats.Msg{Subject: p.subject(l.ID), Data: l.Text, Header: nats.Header{}}
	m.Header.Set(jetstream.MsgIDHeader, "over-"+l.ID)
	_, err := p.parts.JetStream.PublishMsg(ctx, m)
	return err
}

// follow reads the lines of all servers until something breaks.
func (p *Past) follow(ctx context.Context) error {
	s, err := p.stream(ctx)
	if err != nil {
		return err
	}
	return readLog(ctx, s, p.begin(s.CachedInfo()), func(m jetstream.Msg, number uint64) {
		if words := strings.Split(m.Subject(), "."); len(words) == 4 {
			p.take(PastLine{words[2], words[3], m.Data()}, number)
		}
	})
}

// begin returns the number from which the lines are to be read.
func (p *Past) begin(info *jetstream.StreamInfo) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !info.Created.Equal(p.made) {
		p.made, p.last = info.Created, 0
		if info.State.LastSeq > maxPast {
			p.last = info.State.LastSeq - maxPast
		}
	}
	return p.last + 1
}

// take keeps a line. The newest of two of one push counts.
func (p *Past) take(l PastLine, number uint64) {
	i, err := p.parts.Read(l.Text)
	if err != nil {
		p.parts.Log.Warn("a push of another server that is over cannot be read", "node", l.Node, "push", l.ID, "err", err)
	}
	i.Node = l.Node
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = number
	if err != nil {
		return
	}
	if before, ok := p.places[i.ID]; ok {
		p.past.Remove(before)
	}
	p.places[i.ID] = i.Place()
	if forgotten := p.past.Add(&i, maxPast); forgotten != nil {
		delete(p.places, forgotten.ID)
	}
}
