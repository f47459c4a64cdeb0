// Package audit writes down who did what, and who was refused. The lines are kept in the state and, if the settings name one, in a file. No
// line holds a secret.
//
// Refusals are summed: those of one client at one door for one action within ten seconds are one line. So a stranger who is refused often
// cannot push the lines out that matter. Whoever is allowed the same action many times within ten seconds cannot, either: the first lines
// stand for themselves, the others are summed.
//
// Note never waits: Log.Run writes the lines, many at a time.
package audit

import (
	"strings"
	"time"
)

// Line is one line of the audit log.
type Line struct {
	ID      uint64    `json:"id,omitempty"` // its number in the state; lines that were found have one
	At      time.Time `json:"at"`
	Who     Who       `json:"who"`
	From    string    `json:"from,omitempty"` // address of the client
	Via     string    `json:"via"`            // the door
	Origin  string    `json:"origin,omitempty"`
	Do      string    `json:"do"` // an action, or what happened: "login", "reload", …
	Stream  string    `json:"stream,omitempty"`
	Target  string    `json:"target,omitempty"` // masked, or destination://NAME
	Object  string    `json:"object,omitempty"` // the user, key, app or destination that was changed
	OK      bool      `json:"ok"`
	Why     string    `json:"why,omitempty"`
	Count   int       `json:"count,omitempty"` // of events that the line sums up
	Request string    `json:"request,omitempty"`
	Node    string    `json:"node,omitempty"` // where it happened; "": this server is alone
}

// Who is a principal in a line.
type Who struct {
	Kind    string `json:"kind"`
	Subject string `json:"sub,omitempty"`
	ID      string `json:"id,omitempty"`
	App     string `json:"app,omitempty"`
}

// maxText is how much of a text that a client has sent is written down.
const maxText = 256

// cut shortens what clients have sent.
func (l *Line) cut() {
	for _, s := range []*string{
		&l.From, &l.Via, &l.Origin, &l.Do, &l.Stream, &l.Target, &l.Object, &l.Why, &l.Request, &l.Who.Subject, &l.Who.ID, &l.Who.App,
	} {
		if len(*s) > maxText {
			*s = strings.ToValidUTF8((*s)[:maxText], "") + "…"
		}
	}
}

// Query says which lines are wanted.
type Query struct {
	Limit  int    // the most lines; 0: MaxFound
	Before uint64 // lines with a lower ID; 0: all
	Do     string // what was done: an action, or all those below it: "user" is also "user/create"
	Who    string // the kind or the subject of the principal, the user that a line is about, or the address of the client
}

func (q Query) matches(l Line) bool {
	if q.Do != "" && l.Do != q.Do && !strings.HasPrefix(l.Do, q.Do+"/") {
		return false
	}
	switch q.Who {
	case "", l.Who.Kind, l.Who.Subject, l.Object, l.From, l.Who.ID:
		return true
	}
	return false
}
