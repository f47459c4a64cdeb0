package transponder

import (
	"slices"

	"transponder/internal/rtmp"
)

// greet takes note of how a connection begins, before it does.
func (d *dialer) greet(hello rtmp.Hello) {
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.hellos[1:], d.hellos[:])
	d.hellos[0] = hello
}

func (d *dialer) greeted(hello rtmp.Hello) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return hello != (rtmp.Hello{}) && slices.Contains(d.hellos[:], hello) // some clients send zeros
}

// Origin returns the id of the push whose output a connection with that trail to our own RTMP server brings, from here or by way of
// other servers, "" if it is nobody's here. ring says that a push reads the stream of that name, itself or from another push: it would
// feed itself once the name's publisher is gone and a push holds the stream.
func (r *Registry) Origin(trail rtmp.Trail, name string) (push string, ring bool) {
	r.mu.Lock()
	pushes := slices.Clone(r.pushes)
	r.mu.Unlock()
	for _, hello := range trail {
		i := slices.IndexFunc(pushes, func(e *entry) bool { return e.dialer.greeted(hello) })
		if i < 0 {
			continue
		}
		if push == "" {
			push = pushes[i].id
		}
		if r.reads(pushes, pushes[i], name) {
			return push, true
		}
	}
	return push, false
}

// reads says whether a push reads the stream of that name, itself or from another push.
func (r *Registry) reads(pushes []*entry, e *entry, name string) bool {
	for range pushes { // a chain is no longer
		read := e.src.Info().Name
		if read == name {
			return true
		}
		src, ok := r.parts.Hub.Source(read)
		if !ok || src.Info().Push == "" {
			return false
		}
		i := slices.IndexFunc(pushes, func(e *entry) bool { return e.id == src.Info().Push })
		if i < 0 {
			return false
		}
		e = pushes[i]
	}
	return false
}
