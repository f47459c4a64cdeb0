package sip

import (
	"encoding/json"

	"transponder/internal/access"
	"transponder/internal/media"
	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
)

// Media is the page's side of a call, such as rtc.Duplex.
type Media interface {
	// Source is what the page sends.
	Source() *stream.Source
	// Play says what the page hears and sees from now on; nil: nothing. It does not block, and fails only if the media has ended.
	Play(src *stream.Source) error
	// Codec returns what the page agreed on for a kind, media.CodecNone if the kind was refused or is not agreed on yet.
	Codec(kind media.Kind) media.Codec
}

// Page is the page that a Phone belongs to. Lists of calls show it.
type Page struct {
	SessionID string // of the connection
	AppKey    string
	By        *access.Principal // who the page is; nil: the server itself
}

// PageCall asks for a call of a page.
type PageCall struct {
	CallID      string // made by the page
	Callee      string // "user", "user@host" or a sip: or sips: URI
	VisibleName string // the name that the phone shows
	Audio       bool   // what the page sends and receives
	Video       bool
	SDPLines    []string // "b=" and "a=" lines for our offer, each without a line end
	SessionID   string   // of the page
	AppKey      string
	Custom      json.RawMessage
}

// IncomingCall tells a page of a call to it.
type IncomingCall struct {
	CallID      string // unique among all calls
	Caller      string // the user, or user@host if the host is not the domain of the account
	Callee      string
	VisibleName string // the name that the caller shows; "": Caller
	Audio       bool   // what the caller offers
	Video       bool
	Codecs      []media.Codec // of the caller that need no transcoding in a browser, the best one first
}

// PhoneEvents tells the page of an account what happens. The methods must not block; those about one call are called one after another.
type PhoneEvents interface {
	// Registered comes once, when the registrar has accepted the account for the first time.
	Registered()
	// RegisterFailed says in words why there is no registration, and that none will be tried soon.
	RegisterFailed(info string)
	// Incoming says that somebody calls. The call rings already: Answer, Hangup or a final Status follows.
	Incoming(c IncomingCall)
	// MediaReady asks for the page's media of an outgoing call: its offer has to be answered now, and Connect is due. The codecs
	// need no transcoding, the best one first. video says whether there will be a picture. It comes at most once, before ESTABLISHED.
	MediaReady(callID string, codecs []media.Codec, video bool)
	// Status says that a call has another status. After a final one nothing follows. info is for people.
	Status(callID string, status dialog.Status, info string)
	// HoldFailed says that the other side did not agree to Hold. The status stays as it was.
	HoldFailed(callID, info string)
	// Digits says which keys the other side pressed.
	Digits(callID, keys string)
	// Transferring is the progress of a transfer as a SIP code: below 200 it goes on, 200 is success.
	Transferring(callID string, code int)
}
