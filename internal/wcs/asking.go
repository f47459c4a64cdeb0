package wcs

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"transponder/internal/hook"
	"transponder/internal/stream"
)

// asking is a publisher or a player that is not admitted yet: somebody is asked whether the page may do this, or its offer is being answered.
// The page may stop it meanwhile.
type asking struct {
	id        string
	publishes bool
	cancel    context.CancelCauseFunc

	names   *stream.Asked
	mu      sync.Mutex
	stopped bool        // guarded by mu
	name    string      // guarded by mu; that is reserved; "": none
	release func()      // guarded by mu; frees the name
	stream  hook.Stream // guarded by mu; as the backend knows it
	known   bool        // guarded by mu; the backend knows the stream, and has not refused it
}

// forHook returns the stream as the backend of the app knows it.
func (a *asking) forHook() hook.Stream {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stream
}

// knows notes that the backend knows the stream, in this form.
func (a *asking) knows(st hook.Stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	st.SDP = ""
	a.stream, a.known = st, true
}

// isKnown says whether the backend has to hear of the end.
func (a *asking) isKnown() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known
}

// stop ends the asking. The name is free when stop returns. The goroutine that asks tells the page.
func (a *asking) stop(cause error) {
	a.cancel(cause)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	a.free()
}

// reserve keeps others from publishing under the name while somebody is asked. A name that was reserved before is free again.
func (a *asking) reserve(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.name == name {
		return nil
	}
	a.free()
	if a.stopped {
		return errStopped
	}
	release, err := a.names.Reserve(name)
	if err != nil {
		return err
	}
	a.name, a.release = name, release
	return nil
}

// free frees the name. The caller holds mu.
func (a *asking) free() {
	if a.name != "" {
		a.release()
		a.name = ""
	}
}

// askFor runs admit for a publisher or a player whose id it reserves. If nobody has to be asked, it does so at once: pages publish again as soon
// as they have stopped. Otherwise it uses another goroutine, since the reader does not wait for answers. refused tells the page of an error.
// The asking ends with the socket: a page that returns does not know what was answered meanwhile.
func (s *session) askFor(ctx context.Context, a *asking, custom json.RawMessage, admit func(ctx context.Context) error, refused func(error)) {
	ctx, cancel := context.WithCancelCause(ctx)
	a.cancel, a.names = cancel, s.srv.parts.Asked
	if err := s.streams.reserve(a); err != nil {
		cancel(nil)
		refused(err)
		return
	}
	run := func() {
		defer cancel(nil)
		err := admit(ctx)
		cause := context.Cause(ctx)
		s.streams.drop(a)
		switch {
		case err == nil:
			return
		case errors.Is(cause, errStopped):
			err = errStopped
		case cause != nil:
			err = errDisconnected
		}
		refused(err)
	}
	if s.ownToken(custom) == "" && !s.hook.HasBackend() {
		run()
		return
	}
	if !s.streams.start(func() { s.safely(run) }) { // the session ended meanwhile
		s.streams.drop(a)
		cancel(nil)
	}
}

// askBackend asks the backend of the app about a stream, and returns the stream as the backend wants it.
func (s *session) askBackend(ctx context.Context, a *asking, m hook.Method, req mediaRequest, name string) (hook.Stream, error) {
	st := req.streamForHook(a.publishes)
	st.Name = name
	if !s.hook.HasBackend() {
		return st, nil
	}
	a.knows(st)
	answer, err := s.hook.Ask(ctx, m, st)
	if _, refused := errors.AsType[*hook.Refused](err); refused {
		a.forget()
	}
	if err != nil {
		return st, err
	}
	a.knows(answer)
	return answer, nil
}

// forget notes that the backend has refused the stream.
func (a *asking) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = false
}
