// Package hook asks the application server of a customer before a client connects, publishes or plays, and tells it what happens, with the
// REST hooks of Web Call Server. Such a server is called the backend of an app here. The client of a session names the app with its appKey.
// An app without the address of a backend asks nobody and tells nobody.
//
// Doors open a Session for each client session and close it at the end. internal/app makes one Hooks for all doors and runs it: all requests
// that no door waits for belong to Run.
//
// The contract is "REST hooks" on docs.flashphoner.com. docs/hooks.md has the parts that are our own.
package hook

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Method is the name of a hook. It is the last part of the path that is requested.
type Method string

const (
	Connect               Method = "connect"               // a client wants a session
	ConnectionStatusEvent Method = "ConnectionStatusEvent" // the session is established, or has ended
	PublishStream         Method = "publishStream"         // a client wants to publish
	UnPublishStream       Method = "unPublishStream"       // a client has ended the stream that it published
	PlayStream            Method = "playStream"            // a client wants to play
	StopStream            Method = "stopStream"            // a client has ended the stream that it played
	Snapshot              Method = "snapshot"              // a client wants a picture of a stream
	OnDataEvent           Method = "OnDataEvent"           // a client has sent data to the backend
	DataStatusEvent       Method = "DataStatusEvent"       // the data was accepted, or refused
	StreamStatusEvent     Method = "StreamStatusEvent"     // the status of a stream has changed
	StreamKeepAliveEvent  Method = "StreamKeepAliveEvent"  // a stream is still on
	PushStatusEvent       Method = "PushStatusEvent"       // the state of a push of a stream has changed; our own
)

// Methods are the hooks that this server sends.
var Methods = []Method{
	Connect, ConnectionStatusEvent, PublishStream, UnPublishStream, PlayStream, StopStream, Snapshot,
	OnDataEvent, DataStatusEvent, StreamStatusEvent, StreamKeepAliveEvent, PushStatusEvent,
}

// DefaultMethods are the hooks that an app sends unless it has a list of its own: all except StreamKeepAliveEvent, which Web Call Server
// does not send by default either.
func DefaultMethods() []Method {
	methods := make([]Method, 0, len(Methods)-1)
	for _, m := range Methods {
		if m != StreamKeepAliveEvent {
			methods = append(methods, m)
		}
	}
	return methods
}

// unsent are hooks of Web Call Server that an app may have in its list, and that this server does not send: scripts that set up an app name
// them.
var unsent = []Method{
	"RegistrationStatusEvent", "call", "OnCallEvent", "CallStatusEvent", "answer", "hangup", "hold", "unhold", "transfer", "OnTransferEvent",
	"TransferStatusEvent", "sendDtmf", "sendMessage", "OnMessageEvent", "MessageStatusEvent", "subscribe", "SubscriptionStatusEvent",
	"sendXcapRequest", "XcapStatusEvent", "submitBugReport", "BugReportStatusEvent", "pushLogs", "sendData", "StreamEvent", "pauseStream",
	"CdnStreamStatusEvent", "sessionDebug", "SessionDebugStatusEvent",
}

// Object is a JSON object: the body of a hook, or of an answer.
type Object map[string]json.RawMessage

// set puts a value that always encodes.
func (o Object) set(name string, value any) { o[name], _ = json.Marshal(value) }

// ErrKeepAlive is why a stream ends whose keep-alive the backend has refused.
var ErrKeepAlive = errors.New("terminated by keep-alive")

// keepAliveInfo is what the client reads then. It is a constant of the Web SDK.
const keepAliveInfo = "Terminated by keep-alive"

// restricted is what a refused client reads. It is a constant of the Web SDK.
const restricted = "Restricted access"

// Refused means that the backend has refused a request, or has not answered it. Info is the text for the client.
type Refused struct {
	Info string
	Err  error
}

// Error returns the text for the log.
func (e *Refused) Error() string { return "refused by the application's backend: " + e.Err.Error() }

// Unwrap returns why.
func (e *Refused) Unwrap() error { return e.Err }

func refusedBy(err error) *Refused { return &Refused{restricted, err} }

// statusError is an answer other than 2xx.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("it answered %d", int(s)) }

var (
	errBusy     = errors.New("no answer: too many requests to this backend wait")
	errBreaker  = errors.New("no answer: the last requests to this backend had none either")
	errTooBig   = errors.New("unusable answer: it is longer than 1 MiB")
	errAnswer   = errors.New("unusable answer: it is no JSON object")
	errNested   = fmt.Errorf("unusable answer: it is nested deeper than %d, or has more than %d members", maxDepth, maxMembers)
	errLate     = errors.New("no answer in time")
	errStopping = errors.New("the server is stopping")
)

// isRefusal says whether an error is the word of the backend. All others mean that there is no usable answer. A redirect counts as a
// refusal: it would only show that the address of the app is wrong.
func isRefusal(err error) bool {
	var s statusError
	return errors.As(err, &s) && s >= 300 && s < 500
}
