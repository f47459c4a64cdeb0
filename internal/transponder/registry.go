package transponder

import "context"

// Registry holds the pushes.
type Registry struct{}

// Start makes a push and returns at once; connecting happens afterwards. Errors: *RequestError (also for a host that does
// not resolve), ErrStreamNotFound, ErrDuplicate, ErrUnsupported, ErrStopping.
func (r *Registry) Start(ctx context.Context, req Request) (Info, error) {
	return Info{}, ErrUnsupported
}

// Find returns the pushes that match, oldest first. A failed push stays for a short while, so that its reason can be read.
func (r *Registry) Find(f Filter) []Info { return nil }

// Terminate ends a push politely and returns when it is gone: what is queued gets up to a second to be sent.
func (r *Registry) Terminate(ctx context.Context, id string) error { return ErrNotFound }
