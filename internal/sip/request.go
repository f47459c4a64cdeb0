package sip

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"transponder/internal/access"
	"transponder/internal/sip/dialog"
)

// Errors with which a request is refused. The doors translate them for their protocols.
var (
	// ErrOff means that the settings switch SIP off.
	ErrOff = errors.New("SIP is switched off")
	// ErrNoCall means that no call has that id.
	ErrNoCall = errors.New("no such call")
	// ErrCallID means that another call has the id.
	ErrCallID = errors.New("another call has this id")
	// ErrPushed means that another call is published under the same RTMP address and name.
	ErrPushed = errors.New("another call is published to this address under this name")
	// ErrPolicy means that the settings forbid the callee or an address.
	ErrPolicy = errors.New("the settings do not allow this callee")
	// ErrTooMany means that there are too many calls, or too many were made lately.
	ErrTooMany = errors.New("too many calls")
	// ErrState means that the call is not in a state for what was asked, such as digits before the callee has answered.
	ErrState = errors.New("the call is not in a state for this")
	// ErrNoStream means that there is no stream of that name to play to the phone.
	ErrNoStream = errors.New("no such stream")
	// ErrNoFile means that there is no sound file of that name.
	ErrNoFile = errors.New("no such sound file")
	// ErrStopping means that the server is shutting down.
	ErrStopping = errors.New("the server is stopping")
)

// RequestError means that a field of a request cannot be used. The client can correct it.
type RequestError struct {
	Field  string // the name of the field in the API
	Reason string // contains no secrets
}

// Error names the field and the reason.
func (e *RequestError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Reason) }

// Account is an account at a SIP server. Without a password it is only a name that phones are shown. It prints without the password.
type Account struct {
	Login    string // user part of From
	AuthName string // user name of digest authentication; "": Login
	Password string
	Domain   string // host of From, To and the Request-URI
	// OutboundProxy is where requests go: "host", "host:port" or either with ";transport=tcp". "": to the domain.
	OutboundProxy string
	Port          int    // of the proxy, or of the domain; 0: what DNS says, else 5060, or 5061 for TLS
	Transport     string // "udp", "tcp" or "tls"; "": as the proxy says, else UDP
	Register      bool   // register before the first call

	public bool // the client may reach no private networks with it, except by names that the settings have
}

// String returns the address without secrets.
func (a Account) String() string { return a.Login + "@" + a.Domain }

// GoString is String, for %#v.
func (a Account) GoString() string { return a.String() }

// LogValue is String, for logs.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.String()) }

// Request asks for a call to a phone.
type Request struct {
	CallID      string // chosen by the client; also the Call-ID of the messages, if it can be one
	Callee      string // "user", "user@host" or a sip: or sips: URI
	Account     Account
	VisibleName string // the name that the phone shows
	Audio       bool   // what is offered
	Video       bool

	// ToStream is the name under which the phone's media is published. The name is reserved when Calls.Start returns. "": "sip-" and CallID.
	ToStream string
	// RTMPURL asks for a push to this address, which ends with the call. RTMPStream is the name to publish under; "": ToStream, or else the user
	// or the host of the callee.
	RTMPURL    string
	RTMPStream string

	// Picture is what the push of RTMPURL shows if the phone sends no picture: "" nothing, "card" a card with the name of the callee, or
	// else the name of a PNG or JPEG file in media_dir.
	Picture string

	AppKey string
	Custom json.RawMessage // kept, and shown again by Info
	Owner  string          // access.Principal.Identity of the client; "": nothing tells him from others

	By *access.Principal // the client, whose call ends with his rights; nil: the server itself
}

// Filter picks calls. An empty field picks all.
type Filter struct {
	CallID, Callee, Caller string
	RTMPURL, ToStream      string
	Status                 dialog.Status
}

// Digits says how digits are sent.
type Digits string

// The ways in which digits are sent. The zero value is the way of the settings.
const (
	DigitsRTP       Digits = "RFC2833" // RFC 4733, which replaced RFC 2833; by INFO if the phone did not agree to it
	DigitsInfo      Digits = "INFO"
	DigitsInfoRelay Digits = "INFO_RELAY"
)
