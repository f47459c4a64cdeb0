package rest

import (
	"net/http"
	"net/url"
	"strconv"

	"transponder/internal/transponder"
)

const (
	// defaultHistory is how many ended pushes are listed if the request does not say how many.
	defaultHistory = 100
	// maxHistory is the most that a request may ask for.
	maxHistory = 10_000
)

func (s *Server) pushHistory(w http.ResponseWriter, r *http.Request) error {
	limit, err := count(r.URL.Query(), "limit", defaultHistory)
	if err != nil {
		return err
	}
	if limit == 0 {
		return &transponder.RequestError{Field: "limit", Reason: "it must be at least 1"}
	}
	most := int(min(limit, maxHistory))
	look := most
	if !s.viewer(r.Context()).seesAll() {
		look = maxHistory // the newest pushes may all be somebody else's
	}
	over, err := s.parts.Pushes.History(r.Context(), look)
	if err != nil {
		return err
	}
	list := s.pushBodies(r.Context(), over)
	s.answer(w, http.StatusOK, list[:min(most, len(list))])
	return nil
}

// count returns a query parameter that is a whole number, or absent if it is missing.
func count(query url.Values, name string, absent uint64) (uint64, error) {
	text := query.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &transponder.RequestError{Field: name, Reason: "it must be a whole number, not " + strconv.Quote(shorten(text))}
	}
	return n, nil
}

// shorten cuts a text that a caller sent, for use in an answer.
func shorten(text string) string {
	if len(text) > maxToken {
		return text[:maxToken] + "…"
	}
	return text
}
