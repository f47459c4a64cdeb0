package rest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"transponder/internal/transponder"
)

const (
	// defaultHistory is how many ended pushes are listed if the request does not say how many.
	defaultHistory = 100
	// maxHistory is the most that a request may ask for.
	maxHistory = 10_000
)

// historyFilter selects pushes that are over. An empty member matches all.
type historyFilter struct {
	stream, status, reason string
	target, text           string // parts, in lower case
	from, to               uint64 // when the push ended, in ms since 1970; to 0: no limit
}

// historyQuery is what the parameters of a request for the history ask for.
func historyQuery(query url.Values) (filter historyFilter, p page, err error) {
	filter = historyFilter{
		stream: query.Get("streamName"), status: query.Get("status"), reason: query.Get("reason"),
		target: strings.ToLower(query.Get("target")), text: strings.ToLower(query.Get("text")),
	}
	p.after = query.Get("after")
	for _, n := range []struct {
		name   string
		value  *uint64
		absent uint64
	}{{"limit", &p.limit, defaultHistory}, {"from", &filter.from, 0}, {"to", &filter.to, 0}} {
		if *n.value, err = count(query, n.name, n.absent); err != nil {
			return filter, p, err
		}
	}
	if p.limit == 0 {
		return filter, p, &transponder.RequestError{Field: "limit", Reason: "it must be at least 1"}
	}
	p.limit = min(p.limit, maxHistory)
	return filter, p, nil
}

// matches looks only at what the answer shows, so that nobody can guess at a stream key.
func (hf historyFilter) matches(b pushBody) bool {
	has := func(part string, texts ...string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), part) })
	}
	name, _ := strings.CutPrefix(b.RTMPURL, destinationScheme)
	if name == b.RTMPURL {
		name = ""
	}
	starter := ""
	if b.StartedBy != nil {
		starter = b.StartedBy.Name
	}
	return (hf.stream == "" || hf.stream == b.SourceStreamName) &&
		(hf.status == "" || hf.status == b.Status) &&
		(hf.reason == "" || hf.reason == b.Reason) &&
		has(hf.target, b.Target, name) &&
		has(hf.text, b.SourceStreamName, b.Target, name, b.Info, starter) &&
		(b.EndedAt >= 0 && uint64(b.EndedAt) >= hf.from) && (hf.to == 0 || uint64(b.EndedAt) <= hf.to)
}

// destinationScheme begins an address that is the name of a destination.
const destinationScheme = "destination://"

func (s *Server) pushHistory(w http.ResponseWriter, r *http.Request) error {
	filter, p, err := historyQuery(r.URL.Query())
	if err != nil {
		return err
	}
	look := maxHistory // the newest pushes may all be somebody else's, or not match
	if filter == (historyFilter{}) && p.after == "" && s.viewer(r.Context()).seesAll() {
		look = int(p.limit)
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
	list = slices.DeleteFunc(list, func(b pushBody) bool { return !filter.matches(b) })
	if p.after != "" {
		list = olderThan(list, p.after)
	}
	s.answer(w, http.StatusOK, list[:min(p.limit, uint64(len(list)))])
	return nil
}

// olderThan returns what follows the push with an id. If that is not kept any more, neither is what is older.
func olderThan(list []pushBody, id string) []pushBody {
	at := slices.IndexFunc(list, func(b pushBody) bool { return b.MediaSessionID == id })
	if at < 0 {
		return list[len(list):]
	}
	return list[at+1:]
}

// gatherHistory adds the pushes that have ended on other servers, the newest first. What a server does not tell that is gone, or does not answer, is in
// the history of the cluster.
func (s *Server) gatherHistory(w http.ResponseWriter, r *http.Request, list []pushBody, look int) ([]pushBody, error) {
	all := *r // the page is cut out of what all servers have
	query := r.URL.Query()
	query.Del("after")
	query.Set("limit", strconv.Itoa(look))
	all.URL = &url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	replies, missing := s.parts.Nodes.AskAll(r.Context(), s.newCall(&all, nil))
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
