// Package hook asks the application server of a customer before a client connects, publishes or plays, and tells it what happens, with the
// REST hooks of Web Call Server. An app has the address of such a server; an app without an address admits nobody and refuses nobody.
//
// Doors make a Session for each client session. internal/app makes one Hooks for all doors and runs it.
package hook

import (
	"context"
	"encoding/json"
)

// Object is the JSON body of a hook.
type Object map[string]json.RawMessage

// Refused means that the application server has refused a request, or did not answer. Info is the text for the client.
type Refused struct {
	Info string
	Err  error
}

// Error returns the text for the log.
func (e *Refused) Error() string { return "refused by the application server: " + e.Err.Error() }

// Unwrap returns why.
func (e *Refused) Unwrap() error { return e.Err }

// Asker is what a door needs of a client session's hooks. *Session is one; a nil *Session has no application server, and allows everything.
type Asker interface {
	// Ask sends a hook that the client waits for: publishStream, playStream, snapshot, OnDataEvent. It returns the body, with the members
	// that the answer may overwrite and does. The error is a *Refused. It does not hold up other hooks of the session.
	Ask(ctx context.Context, method string, body Object) (Object, error)
	// Tell queues an event. Events of one session are sent in order. refused is called if the answer demands that what the event is about
	// must end; nil: nothing can end. Tell does not block.
	Tell(method string, body Object, refused func(error))
}
