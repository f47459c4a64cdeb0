package wcs

import (
	"context"

	"transponder/internal/access"
	"transponder/internal/rtc"
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
)

// Phone makes and takes the calls of one account, as sip.Phone and exchange.Phone do. The methods do not wait for the other side of a call. They
// may be called from any goroutine, but not from a method of sip.PhoneEvents.
type Phone interface {
	Call(ctx context.Context, c sip.PageCall) error
	// Connect gives an outgoing call the media of the page, after PhoneEvents.MediaReady.
	Connect(callID string, m sip.Media) error
	// Answer takes an incoming call. The lines are for the SDP of the answer.
	Answer(callID string, m sip.Media, sdpLines []string) error
	// Hangup ends a call. The phone's side sees why.
	Hangup(callID string, why dialog.Reason, info string) error
	// Hold puts the other side on hold or takes it back. A status or PhoneEvents.HoldFailed follows.
	Hold(callID string, on, forTransfer bool) error
	// Transfer has the other side call the target. PhoneEvents.Transferring follows.
	Transfer(callID, target string) error
	SendDigits(callID, keys string, how sip.Digits) error
	// Close hangs up all calls and ends the registration.
	Close()
}

// Caller is the page for which a phone is opened: its session and application.
type Caller struct {
	SessionID, AppKey string
	By                *access.Principal // who the page is
}

// PhoneFunc opens a phone at a SIP server. It registers the account if the account wants that. The phone outlives ctx.
type PhoneFunc func(ctx context.Context, acc sip.Account, who Caller, events sip.PhoneEvents) (Phone, error)

// Duplexes makes the media of calls, as rtc.Duplexes does.
type Duplexes interface {
	Answer(ctx context.Context, offer rtc.Offer, terms rtc.Terms, info stream.Info) (Duplex, error)
	Offer(ctx context.Context, terms rtc.Terms, info stream.Info) (Duplex, error)
}

// Duplex is media both ways between a page and this server, such as rtc.Duplex. Run is always called once.
type Duplex interface {
	sip.Media
	SDP() string // the answer, or the offer
	Accept(answer string) error
	restartable
	Run(ctx context.Context) error
}
