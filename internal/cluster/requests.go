package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"transponder/internal/transponder"
)

// Handler answers the requests with one verb. Its error is told to the other side as a text.
type Handler func(ctx context.Context, body []byte) ([]byte, error)

const (
	// maxRequests is how many requests of others are answered at a time.
	maxRequests = 256
	// errorHeader carries the text of an error.
	errorHeader = "Tp-Error"
	// apiHeader carries the version of the requests, so that nodes of two versions can talk.
	apiHeader = "Tp-Api"
	// api is the version of the requests of this program.
	api = "1"
)

// requests are those that this process answers and sends.
type requests struct {
	handlers map[string]Handler // set before Run

	sent           tally
	answered, busy atomic.Int64 // requests of others, and of these, those that were refused because too many were being answered
}

// RequestError is what the other process has told.
type RequestError struct{ Text string }

// Error is what the other process has told.
func (e *RequestError) Error() string { return e.Text }

// errManyRequests is told to others when too many requests wait here.
var errManyRequests = errors.New("the process answers too many requests")

// subject is that on which a process answers a verb. Nobody answers for a process that has ended, and NATS says so at once.
func (o Owner) subject(cluster, verb string) string {
	return cluster + ".node." + o.Node + "." + o.Incarnation + "." + verb
}

// Handle lets f answer the requests with a verb. Call it before Run.
func (c *Cluster) Handle(verb string, f func(ctx context.Context, body []byte) ([]byte, error)) {
	c.requests.handlers[verb] = f
}

// Request asks another process, for at most 2 s if ctx does not end earlier. It fails with ErrGone if nobody answers for the process, with
// transponder.ErrIsolated if this process cannot ask, and with *RequestError if the other process has refused.
func (c *Cluster) Request(ctx context.Context, to Owner, verb string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	began := time.Now()
	answer, err := c.conn.RequestMsgWithContext(ctx, &nats.Msg{
		Subject: to.subject(c.cfg.Name, verb), Header: nats.Header{apiHeader: {api}}, Data: body,
	})
	refused := err == nil && answer.Header.Get(errorHeader) != ""
	c.requests.sent.note(verb, outcomeOf(refused, err), time.Since(began))
	switch {
	case refused:
		return nil, &RequestError{answer.Header.Get(errorHeader)}
	case err == nil:
		return answer.Data, nil
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("%w: node %s", ErrGone, to.Node)
	}
	return nil, fmt.Errorf("%w: %s of node %s: %w", transponder.ErrIsolated, verb, to.Node, err)
}

// answer answers requests until ctx ends.
func (c *Cluster) answer(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxRequests)
	prefix := c.Self().subject(c.cfg.Name, "")
	var mu sync.Mutex // held while a request is accepted: none is once this function waits
	closed := false
	sub, err := c.conn.Subscribe(prefix+">", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if closed {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			c.requests.busy.Add(1)
			c.respond(m, nil, errManyRequests)
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			verb := strings.TrimPrefix(m.Subject, prefix)
			f := c.requests.handlers[verb]
			if f == nil {
				c.respond(m, nil, fmt.Errorf("this version of the server knows no %q", verb))
				return
			}
			body, err := f(ctx, m.Data)
			c.respond(m, body, err)
		})
	})
	if err != nil {
		c.log.Error("node cannot answer others", "err", err)
		return
	}
	<-ctx.Done()
	_ = sub.Unsubscribe() // the link is closed soon
	mu.Lock()
	closed = true
	mu.Unlock()
}

// respond sends an answer. One that is lost is asked for again.
func (c *Cluster) respond(m *nats.Msg, body []byte, err error) {
	c.requests.answered.Add(1)
	answer := &nats.Msg{Header: nats.Header{apiHeader: {api}}, Data: body}
	if err != nil {
		answer.Header.Set(errorHeader, strings.Map(oneLine, err.Error()))
	}
	_ = m.RespondMsg(answer)
}

// oneLine keeps a text within the line of a header.
func oneLine(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}
