package rest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"transponder/internal/transponder"
)

const (
	// defaultHistory is how many ended pushes are listed if the request does not say how many, maxHistory the most in one answer.
	defaultHistory = 100
	maxHistory     = 1000
	// allHistory is more than a server keeps.
	allHistory = math.MaxInt
)

// historyFilter selects pushes that are over. An empty member matches all.
type historyFilter struct {
	stream, status, reason string
	target                 string   // a part, in lower case
	words                  []string // each a part, in lower case
	from, to               uint64   // when the push ended, in ms since 1970; to 0: no limit
}

// within reports whether a push that ended then is among those asked for.
func (hf historyFilter) within(ended int64) bool {
	return ended >= 0 && uint64(ended) >= hf.from && (hf.to == 0 || uint64(ended) <= hf.to)
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
		!slices.ContainsFunc(hf.words, func(word string) bool {
			return !has(word, b.SourceStreamName, b.Target, name, b.Reason, b.Info, starter)
		}) &&
		hf.within(b.EndedAt)
}

// destinationScheme begins an address that is the name of a destination.
const destinationScheme = "destination://"

func (s *Server) pushHistory(w http.ResponseWriter, r *http.Request) error {
	q, err := newHistoryQuery(r.URL.Query())
	if err != nil {
		return err
	}
	own, err := s.parts.Pushes.History(r.Context(), allHistory)
	if err != nil {
		return err
	}
	var others []*transponder.Info
	clustered := s.isClustered(r.Context())
	if clustered && s.parts.Past != nil {
		others = s.parts.Past(allHistory)
	}
	limit, known := q.limit, q.locate(own, others)
	if !known { // perhaps a push that has just ended on another server
		q.limit = maxHistory
	}
	v := s.viewer(r.Context())
	list := q.page(v, own)
	if clustered {
		if list, err = s.gatherHistory(w, r, q, list, q.page(v, others)); err != nil {
			return err
		}
	}
	if !known {
		list = olderThan(list, q.after)
	}
	s.answer(w, http.StatusOK, list[:min(limit, len(list))])
	return nil
}

// historyQuery is what a request for the history asks for.
type historyQuery struct {
	historyFilter
	after string             // the id of the push behind which the page begins; "": it begins with the newest
	from  *transponder.Place // of that push; nil: not known, or none
	limit int
}

func newHistoryQuery(query url.Values) (q historyQuery, err error) {
	q.historyFilter = historyFilter{
		stream: query.Get("streamName"), status: query.Get("status"), reason: query.Get("reason"),
		target: strings.ToLower(query.Get("target")), words: strings.Fields(strings.ToLower(query.Get("text"))),
	}
	q.after = query.Get("after")
	var limit, ended uint64
	for _, n := range []struct {
		name   string
		value  *uint64
		absent uint64
	}{{"limit", &limit, defaultHistory}, {"from", &q.historyFilter.from, 0}, {"to", &q.to, 0}, {"afterEnded", &ended, 0}} {
		if *n.value, err = count(query, n.name, n.absent); err != nil {
			return q, err
		}
	}
	if limit == 0 {
		return q, &transponder.RequestError{Field: "limit", Reason: "it must be at least 1"}
	}
	q.limit = int(min(limit, maxHistory))
	if q.after != "" && ended > 0 {
		q.from = &transponder.Place{Ended: int64(min(ended, math.MaxInt64)), ID: q.after}
	}
	return q, nil
}

// locate finds the push behind which the page begins. It returns false if there is none of that id.
func (q *historyQuery) locate(lists ...[]*transponder.Info) bool {
	if q.after == "" || q.from != nil {
		return true
	}
	for _, list := range lists {
		if i := slices.IndexFunc(list, func(p *transponder.Info) bool { return p.ID == q.after }); i >= 0 {
			place := list[i].Place()
			q.from = &place
			return true
		}
	}
	return false
}

// page returns the pushes of a list that are asked for, and that the viewer may know of.
func (q *historyQuery) page(v viewer, list []*transponder.Info) []pushBody {
	found := []pushBody{}
	for _, p := range list { // nothing is copied of a push that is not asked for: there are thousands
		place := p.Place()
		switch {
		case q.from != nil && place.Compare(*q.from) >= 0, q.stream != "" && q.stream != p.SourceName, !q.within(place.Ended):
			continue
		}
		if b := v.push(*p); b != nil && q.matches(*b) {
			if found = append(found, *b); len(found) == q.limit {
				break
			}
		}
	}
	return found
}

// placeOf returns where a push stands in the history.
func placeOf(b pushBody) transponder.Place {
	return transponder.Place{Ended: b.EndedAt, ID: b.MediaSessionID}
}

// olderThan returns what follows the push with an id. If that is not kept any more, neither is what is older.
func olderThan(list []pushBody, id string) []pushBody {
	at := slices.IndexFunc(list, func(b pushBody) bool { return b.MediaSessionID == id })
	if at < 0 {
		return list[len(list):]
	}
	return list[at+1:]
}

// gatherHistory adds the pushes that have ended on other servers, the newest first: a page of each. What a server does not tell that is gone, or does
// not answer, is in past.
func (s *Server) gatherHistory(w http.ResponseWriter, r *http.Request, q historyQuery, list, past []pushBody) ([]pushBody, error) {
	all := *r
	query := r.URL.Query()
	query.Set("limit", strconv.Itoa(q.limit))
	if q.from != nil {
		query.Set("afterEnded", strconv.FormatInt(q.from.Ended, 10))
	} else {
		query.Del("after")
	}
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
	known := map[string]bool{}
	for _, b := range list {
		known[b.MediaSessionID] = true
	}
	for _, b := range past {
		if !known[b.MediaSessionID] {
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b pushBody) int { return placeOf(b).Compare(placeOf(a)) })
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
