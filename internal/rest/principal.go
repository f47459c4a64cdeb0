package rest

import (
	"context"

	"transponder/internal/access"
)

// principalKey is the key of the principal in the context of a request.
type principalKey struct{}

// principalOf returns who has sent the request.
func principalOf(ctx context.Context) *access.Principal {
	p, ok := ctx.Value(principalKey{}).(*access.Principal)
	if !ok {
		return access.Whole(access.Local)
	}
	return p
}

// authorize decides whether the sender of the request may do the action.
func (s *Server) authorize(ctx context.Context, a access.Action, o access.Object) error {
	return access.Decide(principalOf(ctx), a, o)
}
