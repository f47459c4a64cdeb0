package rest

import (
	"net/http"

	"transponder/internal/access"
	"transponder/internal/access/auth"
)

// reportRoutes serves the report of who may do what.
func (s *Server) reportRoutes() {
	if s.parts.Report == nil {
		return
	}
	s.read("/access/report", access.Admin, func(w http.ResponseWriter, _ *http.Request) error {
		s.answer(w, http.StatusOK, s.parts.Report())
		return nil
	})
}

// Report returns who may do what. auth.Authenticator makes it.
type Report func() auth.Report
