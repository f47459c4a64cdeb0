package transponder

import (
	"slices"

	"transponder/internal/rtmp"
)

// greet notes the hello of a connection before the hello is sent.
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

// Origin returns the id of the push whose output arrives at this server's own RTMP port on a connection with that trail, directly or through
// other servers; "" if it is not the output of a push of this server. ring is true if such a push reads the stream with that name, itself or
// through another push: it would feed itself when the publisher of the name is gone and a push holds the stream.
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

// reads reports whether a push reads the stream with that name, or may read it as a backup, itself or through other pushes.
func (r *Registry) reads(pushes []*entry, e *entry, name string) bool {
	seen := []*entry{e}
	for i := 0; i < len(seen); i++ {
		for _, read := range seen[i].req.names() {
			if read == name {
				return true
			}
			src, ok := r.parts.Hub.Source(read)
			if !ok || src.Info().Push == "" {
				continue
			}
			next := slices.IndexFunc(pushes, func(e *entry) bool { return e.id == src.Info().Push })
			if next >= 0 && !slices.Contains(seen, pushes[next]) {
				seen = append(seen, pushes[next])
			}
		}
	}
	return false
}
