package rest

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"transponder/internal/access"
	"transponder/internal/access/audit"
)

// AuditLog finds lines of the audit log. audit.Log is one.
type AuditLog interface {
	Find(ctx context.Context, q audit.Query) ([]audit.Line, error)
}

func (s *Server) auditRoutes() { s.read("/audit", access.Admin, s.auditLines) }

// auditLines answers with lines of the audit log, the newest first.
func (s *Server) auditLines(w http.ResponseWriter, r *http.Request) error {
	if s.parts.Audit == nil {
		return refusal{http.StatusNotImplemented, "this server has no audit log"}
	}
	const usual = 100
	query := r.URL.Query()
	q := audit.Query{Limit: usual, Do: query.Get("do"), Who: query.Get("who")}
	for name, set := range map[string]func(uint64){
		"limit":  func(n uint64) { q.Limit = int(min(n, audit.MaxFound)) },
		"before": func(n uint64) { q.Before = n },
	} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			return refusal{http.StatusBadRequest, fmt.Sprintf("%s: it must be a whole number above 0, not %q", name, shorten(text))}
		}
		set(n)
	}
	lines, err := s.parts.Audit.Find(r.Context(), q)
	if err != nil {
		return err
	}
	if lines == nil {
		lines = []audit.Line{}
	}
	s.answer(w, http.StatusOK, lines)
	return nil
}
