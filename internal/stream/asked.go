package stream

import "sync"

// Asked has the names of streams about which somebody is asked whether they may be published, such as the backend of an application. All doors
// share one, so that a backend is not asked about two publishers of one name at a time, and says yes to both. The zero value has none. All
// methods may be called from any goroutine.
type Asked struct {
	mu    sync.Mutex
	names map[string]struct{} // guarded by mu
}

// Reserve takes a name until free is called. It fails with ErrNameInUse if somebody else has it. It says nothing about live streams.
func (a *Asked) Reserve(name string) (free func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, taken := a.names[name]; taken {
		return nil, ErrNameInUse
	}
	if a.names == nil {
		a.names = map[string]struct{}{}
	}
	a.names[name] = struct{}{}
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.names, name)
	}), nil
}
