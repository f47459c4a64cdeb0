package rest

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/cluster"
	"transponder/internal/transponder"
)

// errNotOver is the answer to a request to start a push again that is not over.
var errNotOver = refusal{http.StatusConflict, "the push is not over: it can be ended, and then started again"}

// errNotYours keeps a caller from a stream key that he does not know: he would be the owner of the new push, who sees the whole address.
var errNotYours = refusal{http.StatusForbidden, "only who has started this push, or an administrator, may start it again: its address may hold a stream key"}

// retryPush starts a push that is over once more, with the same addresses and options.
func (s *Server) retryPush(ctx context.Context, f *fields) (any, error) {
	id := f.required("mediaSessionId")
	if f.err != nil {
		return nil, f.err
	}
	v := s.viewer(ctx)
	over, err := s.findOver(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case over == nil:
		return nil, cmp.Or(s.changePush(ctx, id), error(errNotOver))
	case v.push(*over) == nil:
		return nil, errNoPush
	}
	note(ctx, func(l *audit.Line) { l.Object, l.Target = id, over.Target })
	if err := s.authorize(ctx, access.Push, access.Object{Stream: over.SourceName, Owner: over.Owner}); err != nil {
		return nil, err
	}
	req, err := over.Again(principalOf(ctx))
	if err != nil {
		return nil, err
	}
	if !v.seesAddress(*over) && slices.ContainsFunc(append(slices.Clip(req.Options.BackupURLs), req.URL), hasAddress) {
		return nil, errNotYours
	}
	return s.begin(ctx, req)
}

// hasAddress says whether the URL of a request is an address, and not the name of a destination.
func hasAddress(url string) bool { return !strings.HasPrefix(url, destinationScheme) }

// findOver returns a push that is over; nil if this server knows none with that id.
func (s *Server) findOver(ctx context.Context, id string) (*transponder.Info, error) {
	past, err := s.parts.Pushes.History(ctx, allHistory)
	if err != nil {
		return nil, err
	}
	if s.parts.Past != nil {
		past = append(slices.Clip(past), s.parts.Past(allHistory)...)
	}
	if i := slices.IndexFunc(past, func(p *transponder.Info) bool { return p.ID == id }); i >= 0 {
		return past[i], nil
	}
	return nil, nil
}

// aboutOver returns what a request to start a push again is about: the stream of the push, since the server that has the stream now must do it. A push that
// this server does not know to be over is looked for as every other push.
func (s *Server) aboutOver(ctx context.Context, f *fields) (about, string, error) {
	id := f.peek("mediaSessionId")
	over, err := s.findOver(ctx, id)
	if over == nil {
		return about{"mediaSessionId", cluster.KindPush}, id, err
	}
	return about{"mediaSessionId", cluster.KindStream}, over.SourceName, nil
}
