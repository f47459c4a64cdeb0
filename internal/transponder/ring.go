package transponder

import (
	"slices"

	"transponder/internal/rtmp"
)

// greet takes note of how a connection begins, before it does.
func (t *Transponder) greet(hello rtmp.Hello) {
	t.mu.Lock()
	defer t.mu.Unlock()
	copy(t.hellos[1:], t.hellos[:])
	t.hellos[0] = hello
}

func (t *Transponder) greeted(hello rtmp.Hello) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.hellos[:], hello)
}

// Origin returns the id of the push whose connection to our own RTMP server begins with that hello, "" if it is nobody's here. ring
// says that the push reads the stream of that name, itself or from another push: it would feed itself once the name's publisher
// is gone and a push holds the stream.
func (r *Registry) Origin(hello rtmp.Hello, name string) (push string, ring bool) {
	r.mu.Lock()
	pushes := slices.Clone(r.pushes)
	r.mu.Unlock()
	find := func(match func(*entry) bool) *entry {
		if i := slices.IndexFunc(pushes, match); i >= 0 {
			return pushes[i]
		}
		return nil
	}
	e := find(func(e *entry) bool { return e.greeted(hello) })
	if e == nil {
		return "", false
	}
	push = e.id
	for range pushes { // a chain is no longer
		read := e.src.Info().Name
		if read == name {
			return push, true
		}
		src, ok := r.hub.Source(read)
		if !ok || src.Info().Push == "" {
			return push, false
		}
		if e = find(func(e *entry) bool { return e.id == src.Info().Push }); e == nil {
			return push, false
		}
	}
	return push, false
}
