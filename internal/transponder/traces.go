package transponder

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"transponder/internal/trace"
)

// traces are the traces of a push. The first one leads from the request to the first PUBLISHING. If each address has failed once, the trace ends
// there. It is part of the trace of the client that asked for the push, or else of the trace of the publisher. Each attempt after that has a trace
// of its own. A nil *traces makes none.
type traces struct {
	tracer  *trace.Tracer
	current trace.Current // for the log

	whole trace.Span // from the request on; written before run
	link  trace.Link // names whole, also if it was the span of another process

	legs *atomic.Int32 // legs of the push that have not failed yet; nil: these are not the traces of a leg

	own     bool       // owned by run; each attempt has a trace of its own now: the push, or its leg, was live or has failed once
	attempt trace.Span // owned by run; the present one
	first   trace.Span // owned by run; until the first media was sent on the connection
}

// newTraces makes the traces of a push whose request has a span, or had the one that the link names. It returns nil if there are no traces.
func newTraces(t *trace.Tracer, whole trace.Span, link trace.Link) *traces {
	if t == nil {
		return nil
	}
	made := &traces{tracer: t, whole: whole, link: link, own: whole == trace.Span{}}
	made.current.Set(whole)
	return made
}

// forLegs makes the traces of so many legs. The first attempt of each leg belongs to the first trace of the push.
func (t *traces) forLegs(n int) []*traces {
	all := make([]*traces, n)
	if t == nil {
		return all
	}
	left := new(atomic.Int32)
	left.Store(int32(n))
	for i := range all {
		all[i] = newTraces(t.tracer, t.whole, t.link)
		all[i].legs = left
	}
	return all
}

// logger returns a logger whose lines name the present trace.
func (t *traces) logger(log *slog.Logger) *slog.Logger {
	if t == nil {
		return log
	}
	return t.current.Log(log)
}

// trying begins the span of an attempt to connect to the present address.
func (t *traces) trying(ctx context.Context, p *push) context.Context {
	if t == nil {
		return ctx
	}
	at := p.at.Load()
	if t.own {
		ctx, t.attempt = t.reconnect(ctx, p, p.addresses[at].target, int(at))
		if before := p.before().Reason; before != ReasonNone {
			t.attempt.Set("transponder.after", string(before))
		}
		return ctx
	}
	ctx, t.attempt = t.tracer.StartLate(ctx, "connect") // another leg may be live already
	p.describe(t.attempt, p.addresses[at].target, int(at))
	return ctx
}

// reconnect begins the trace of a connection after the first one, to a target of the address with that index. It has links to the request and to
// the publisher. Any goroutine may call it.
func (t *traces) reconnect(ctx context.Context, p *push, to pushTarget, address int) (context.Context, trace.Span) {
	if t == nil {
		return ctx, trace.Span{}
	}
	ctx, span := t.tracer.BeginTrace(ctx, "reconnect", t.link, p.publisher())
	t.current.Set(span)
	p.describe(span, to, address)
	return ctx, span
}

// publisher names the span of the publisher whose stream is sent.
func (p *push) publisher() trace.Link {
	if p.front != nil {
		p = p.front
	}
	return p.source().Info().Steps.Link()
}

// describe notes which push a span is about, and which of several addresses.
func (p *push) describe(s trace.Span, to pushTarget, address int) {
	if s.On() {
		s.Set("transponder.stream", p.name())
		s.Set("transponder.push", p.id)
		s.Set("transponder.target", to.String())
		s.SetInt("transponder.attempt", int(p.attempts.Load())+1)
		if len(p.addresses) > 1 {
			s.SetInt("transponder.address", address+1)
		}
	}
}

// connected begins the wait for the first media, after the server has accepted the stream.
func (t *traces) connected(ctx context.Context) {
	if t != nil {
		_, t.first = trace.Start(ctx, "first media")
	}
}

// live ends the present attempt well.
func (t *traces) live() {
	if t == nil {
		return
	}
	t.first.End()
	t.attempt.End()
	t.whole.End()
	t.own = true
}

// failed ends the present attempt, unless it was live.
func (t *traces) failed(reason Reason, detail string) {
	if t == nil {
		return
	}
	t.first.Fail(string(reason), detail)
	t.attempt.Fail(string(reason), detail)
}

// over ends the trace of the request, unless the push was live: each address has failed, or the push has ended. Of several legs the last one that
// fails ends the trace.
func (t *traces) over(reason Reason, detail string) {
	if t == nil {
		return
	}
	t.failed(reason, detail)
	before := t.own
	t.own = true
	if t.legs != nil && (before || t.legs.Add(-1) > 0) {
		return
	}
	t.whole.Fail(string(reason), detail)
}

// endSpan ends the span of a step, with the error that ended the step.
func endSpan(s trace.Span, err error) {
	switch {
	case err == nil:
		s.End()
	case errors.Is(err, context.Canceled):
		s.Fail("cancelled", "Another address was faster, or the push has ended.")
	default:
		reason, words := explain(err)
		s.Fail(string(reason), words)
	}
}

// refusal says why a request was refused, without what the request says.
func refusal(err error) string {
	var bad *RequestError
	if errors.As(err, &bad) {
		return bad.Field + " cannot be used"
	}
	return err.Error()
}
