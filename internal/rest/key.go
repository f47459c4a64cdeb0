package rest

import (
	"context"
	"net/http"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/token"
)

// keyRoutes serves the methods of stored keys. Whoever may control streams makes keys within his own grants, and sees and removes those that
// he has made. Administrators see and remove all.
func (s *Server) keyRoutes() {
	if s.parts.Tokens == nil {
		return
	}
	s.list("/key/find_all", access.Control, s.findKeys, http.MethodGet, http.MethodPost)
	s.method("/key/create", access.Control, s.createKey, http.MethodPost)
	s.method("/key/remove", access.Control, s.removeKey, http.MethodPost)
}

// keyBody is a stored key in an answer.
type keyBody struct {
	ID           string         `json:"id"`
	Key          string         `json:"key,omitempty"` // only in the answer to the request that has made it
	Label        string         `json:"label"`
	Owner        string         `json:"owner"`
	App          string         `json:"app,omitempty"`
	Grants       []access.Grant `json:"grants"`
	Stream       string         `json:"stream,omitempty"`
	Limits       access.Limits  `json:"limits"`
	CreatedAt    int64          `json:"createdAt"`
	ExpiresAt    int64          `json:"expiresAt,omitempty"`
	LastUsedAt   int64          `json:"lastUsedAt,omitempty"`
	LastUsedFrom string         `json:"lastUsedFrom,omitempty"`
}

func newKeyBody(k token.Key) keyBody {
	b := keyBody{
		ID: k.ID, Label: k.Label, Owner: k.Owner, App: k.App, Grants: k.Grants, Stream: k.Stream, Limits: k.Limits,
		CreatedAt: k.Created.UnixMilli(), ExpiresAt: milliseconds(k.Expires), LastUsedAt: milliseconds(k.LastUsed),
	}
	if k.LastFrom.IsValid() {
		b.LastUsedFrom = k.LastFrom.String()
	}
	return b
}

func (s *Server) findKeys(ctx context.Context, _ *fields) (any, error) {
	bodies := []keyBody{}
	for _, k := range s.parts.Tokens.Keys(principalOf(ctx)) {
		bodies = append(bodies, newKeyBody(k))
	}
	return bodies, nil
}

func (s *Server) createKey(ctx context.Context, f *fields) (any, error) {
	r := token.KeyRequest{Label: f.text("label"), Stream: f.text("stream"), Expires: f.moment("expiresAt"), App: f.text("app")}
	decode(f, "grants", &r.Grants)
	decode(f, "limits", &r.Limits)
	if f.err != nil {
		return nil, f.err
	}
	made, text, err := s.parts.Tokens.CreateKey(ctx, principalOf(ctx), r)
	if err != nil {
		return nil, err
	}
	note(ctx, func(l *audit.Line) { l.Object, l.Stream = made.ID, made.Stream })
	body := newKeyBody(made)
	body.Key = string(text)
	return body, nil
}

func (s *Server) removeKey(ctx context.Context, f *fields) (any, error) {
	id := f.required("id")
	if f.err != nil {
		return nil, f.err
	}
	note(ctx, func(l *audit.Line) { l.Object = shorten(id) })
	return nil, s.parts.Tokens.RemoveKey(ctx, principalOf(ctx), id)
}
