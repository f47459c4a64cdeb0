package trace

import (
	"context"
	"log/slog"
	"sync"
)

// Steps is a span of work that goes through one step after the other, such as the connecting of a publisher. A nil *Steps does nothing. Any
// goroutine may call the methods.
type Steps struct {
	ctx  context.Context // carries the span to the steps to come, and nothing else is asked of it
	span Span

	mu   sync.Mutex
	step Span   // guarded by mu; the present one
	name string // guarded by mu; of the present step
	over bool   // guarded by mu
}

// Steps begins the span of a publisher, and its first step. Its owner calls End; with stream.Info.Steps the hub does.
func (t *Tracer) Steps(ctx context.Context, name, first string) *Steps {
	if t == nil {
		return nil
	}
	ctx, span := t.Begin(ctx, name, Link{})
	if !span.On() {
		return nil
	}
	s := &Steps{ctx: ctx, span: span}
	s.Next(first)
	return s
}

// Set notes a fact about the whole work.
func (s *Steps) Set(key, value string) {
	if s != nil {
		s.span.Set(key, value)
	}
}

// Next ends the present step well, and begins the next.
func (s *Steps) Next(name string) { s.next("", name) }

// NextAfter is Next if the present step is the one called before. Otherwise it does nothing.
func (s *Steps) NextAfter(before, name string) { s.next(before, name) }

func (s *Steps) next(before, name string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || before != "" && before != s.name {
		return
	}
	s.step.End()
	s.name = name
	_, s.step = Start(s.ctx, name)
}

// Finish ends the work well with the step called last. The step is begun if the present one is another: what ends the work may be what begins the
// step, too.
func (s *Steps) Finish(last string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	there := s.name == last
	s.mu.Unlock()
	if !there {
		s.Next(last)
	}
	s.End(nil)
}

// End ends the present step and the work: well, or with the error that ended them. Only the first call has an effect.
func (s *Steps) End(err error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	if err == nil {
		s.step.End()
		s.span.End()
		return
	}
	s.step.Fail("publisher", err.Error())
	s.span.Fail("publisher", err.Error())
}

// Link returns the name of the span of the work. It stays valid when the work is over.
func (s *Steps) Link() Link {
	if s == nil {
		return Link{}
	}
	return s.span.Link()
}

// Log returns a logger whose lines name the trace.
func (s *Steps) Log(log *slog.Logger) *slog.Logger {
	if s == nil {
		return log
	}
	return s.span.Log(log)
}
