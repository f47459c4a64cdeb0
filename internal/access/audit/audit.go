// Package audit writes down who did what, and who was refused. The lines are kept in the state and, if the settings name one, in a file. No
// line holds a secret.
package audit

import "time"

// Line is one line of the audit log.
type Line struct {
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
}

// Who is a principal in a line.
type Who struct {
	Kind    string `json:"kind"`
	Subject string `json:"sub,omitempty"`
	ID      string `json:"id,omitempty"`
	App     string `json:"app,omitempty"`
}
