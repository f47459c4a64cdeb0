package auth

import (
	"fmt"
	"slices"
	"strings"

	"transponder/internal/access"
)

// Report says who may do what.
type Report struct {
	Mode     Mode     `json:"mode"`
	Warnings []string `json:"warnings"`
	Who      []Right  `json:"who"`
}

// Right says whether somebody may do one action.
type Right struct {
	Who     string        `json:"who"`
	Action  access.Action `json:"action"`
	Allowed bool          `json:"allowed"`
	Words   string        `json:"words"` // how, or what is missing
}

// StrangerMay says whether somebody without a credential, on another machine, may do an action.
func (r Report) StrangerMay(do access.Action) bool {
	return slices.ContainsFunc(r.Who, func(w Right) bool { return w.Who == stranger && w.Action == do && w.Allowed })
}

// Somebody is a principal that a report tells about, such as a user.
type Somebody struct {
	Who       string
	Principal *access.Principal
}

const (
	local       = "client on this machine"
	stranger    = "stranger"
	foreignPage = "foreign page"
	namedPage   = "page of an origin in the settings"
)

// doorNames are the doors in the words of people.
var doorNames = map[string]string{
	"rest": "REST", "metrics": "the metrics", "websocket": "the Web SDK", "whip": "WHIP", "whep": "WHEP", "rtmp": "RTMP",
}

// doorsOf are the doors through which an action is done.
var doorsOf = map[access.Action][]string{
	access.Publish: {"websocket", "whip", "rtmp"},
	access.Play:    {"websocket", "whep", "rtmp"},
	access.Push:    {"rest", "websocket"},
	access.Read:    {"rest", "metrics"},
	access.Control: {"rest"},
	access.Admin:   {"rest"},
}

// anything is an object of which nothing is special: a stream, and a public address.
func anything(do access.Action) access.Object {
	switch do {
	case access.Admin:
		return access.Object{}
	case access.Push:
		return access.Object{Stream: "any", URL: "rtmp://example.com:1935/app"}
	}
	return access.Object{Stream: "any"}
}

// Report says what clients without a credential may do, and what the people may do.
func (a *Authenticator) Report(people ...Somebody) Report {
	r := Report{Mode: a.cfg.Mode, Warnings: a.cfg.Warnings()}
	if r.Warnings == nil {
		r.Warnings = []string{}
	}
	for _, place := range []struct {
		who    string
		local  bool
		passes func(door string) bool // the guard of the door
	}{
		{local, true, func(string) bool { return true }},
		{stranger, false, func(string) bool { return true }},
		// The guards let pages of other hosts through to a server that has a public name, except at REST.
		{foreignPage, false, func(door string) bool {
			return door != "metrics" && door != "rtmp" && (door != "rest" || a.parts.Pages.Any())
		}},
		{namedPage, true, func(door string) bool { return door == "rest" }},
	} {
		if place.who == namedPage && !a.parts.Pages.Some() {
			continue
		}
		for _, do := range access.Actions {
			r.Who = append(r.Who, a.place(place.who, do, place.local, place.passes))
		}
	}
	for _, p := range people {
		for _, do := range access.Actions {
			r.Who = append(r.Who, right(p, do))
		}
	}
	return r
}

// place says what a client without a credential may do.
func (a *Authenticator) place(who string, do access.Action, local bool, passes func(door string) bool) Right {
	var open, shut []string
	for _, door := range doorsOf[do] {
		p := a.byPlace(access.Credential{Door: door, Local: local})
		if passes(door) && access.Decide(p, do, anything(do)) == nil {
			open = append(open, doorNames[door])
		} else {
			shut = append(shut, doorNames[door])
		}
	}
	w := Right{Who: who, Action: do, Allowed: len(open) > 0}
	switch {
	case who == foreignPage && len(open) > 0:
		w.Words = fmt.Sprintf("by %s, without a credential", and(open))
		if !slices.Contains(open, doorNames["rest"]) {
			w.Words += "; not to this machine and not in private networks, and only if ws_allowed_origins does not keep it out"
		}
	case len(shut) == 0:
		w.Words = "without a credential"
	case len(open) > 0:
		w.Words = fmt.Sprintf("by %s without a credential, by %s only with one", and(open), and(shut))
	case who == foreignPage:
		w.Words = "refused; with a token, a page may do what the token grants"
	default:
		w.Words = "only with a password, a token, a key or a certificate"
	}
	return w
}

// right says what somebody with a credential may do.
func right(who Somebody, do access.Action) Right {
	w := Right{Who: who.Who, Action: do}
	var streams, targets []string
	for _, g := range who.Principal.Grants {
		one := access.Principal{Grants: []access.Grant{g}}
		admin := access.Has(&one, access.Admin)
		if !access.Has(&one, do) || do == access.Push && !admin && len(g.Destinations)+len(g.URLs) == 0 {
			continue
		}
		streams = append(streams, g.Streams...)
		if do == access.Push && !admin {
			for _, d := range g.Destinations {
				targets = append(targets, "destination://"+d)
			}
			targets = append(targets, g.URLs...)
		}
	}
	w.Allowed = len(streams) > 0 && (do != access.Admin || access.Decide(who.Principal, do, access.Object{}) == nil)
	switch {
	case !w.Allowed:
		w.Words = "no grant"
	case slices.Contains(streams, "*"):
		w.Words = "all streams"
	default:
		w.Words = "the streams " + strings.Join(unique(streams), ", ")
	}
	if w.Allowed && len(targets) > 0 {
		w.Words += ", to " + strings.Join(unique(targets), ", ")
	}
	return w
}

func unique(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}

// and joins words as a sentence does.
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// Line is one line of the table that the server prints at its start.
type Line struct{ Door, Here, Elsewhere string }

// Table says for each door what clients without a credential may do, from this machine and from elsewhere.
func (a *Authenticator) Table(doors ...string) []Line {
	var lines []Line
	for _, door := range doors {
		lines = append(lines, Line{doorNames[door], a.may(door, true), a.may(door, false)})
	}
	return lines
}

// may says in words what a client without a credential may do at a door.
func (a *Authenticator) may(door string, local bool) string {
	p := a.byPlace(access.Credential{Door: door, Local: local})
	var may []string
	all := true
	for _, do := range access.Actions {
		if !slices.Contains(doorsOf[do], door) {
			continue
		}
		if access.Decide(p, do, anything(do)) == nil {
			may = append(may, string(do))
		} else {
			all = false
		}
	}
	switch {
	case all:
		return "everything"
	case len(may) == 0:
		return "only with a credential"
	}
	return strings.Join(may, ", ")
}
