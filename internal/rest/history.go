package rest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
	if s.isClustered(r.Context()) {
		if list, err = s.gatherHistory(w, r, list, look); err != nil {
			return err
		}
	}
	s.answer(w, http.StatusOK, list[:min(most, len(list))])
	return nil
}

// gatherHistory adds the pushes that have ended on other servers, the newest first. What a server does not tell that is gone, or does not answer, is in
// the history of the cluster.
func (s *Server) gatherHistory(w http.ResponseWriter, r *http.Request, list []pushBody, look int) ([]pushBody, error) {
	replies, missing := s.parts.Nodes.AskAll(r.Context(), s.newCall(r, nil))
	setMissing(w, missing)
	for _, reply := range replies {
		if bad := remote(reply).err(); bad != nil {
			return nil, bad
		}
		var more []pushBody
		if err := json.Unmarshal(reply.Body, &more); err != nil {
			return nil, fmt.Errorf("history of node %s: %w", reply.Node, err)
		}
		list = append(list, more...)
	}
	if s.parts.Past != nil {
		known := map[string]bool{}
		for _, b := range list {
			known[b.MediaSessionID] = true
		}
		for _, b := range s.pushBodies(r.Context(), s.parts.Past(look)) {
			if !known[b.MediaSessionID] {
				list = append(list, b)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b pushBody) int { return cmp.Compare(b.EndedAt, a.EndedAt) })
	return list, nil
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
