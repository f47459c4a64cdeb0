package dialog

import "time"

// Output is something that the user of the package carries out, or learns of.
type Output interface{ output() }

// Send is a request to send. An ACK has no transaction. A CANCEL goes the way of the INVITE of the same CSeq, with its Via.
type Send struct{ Request *Request }

// Reply is a response to a request that came from outside.
type Reply struct {
	Request  *Request
	Response *Response
}

// StatusChanged says that a call has another status. Exactly one final status comes.
type StatusChanged struct {
	Status Status
	Reason Reason // of a final status
	Info   string // words for people, of a final status
}

// Offered is an offer of the peer, to be answered by Call.Accept or Call.Reject. Without SDP the peer asks for an offer of ours.
type Offered struct{ SDP []byte }

// Answered is the peer's answer to an offer of ours. An early one comes before the call is answered and may change.
type Answered struct {
	SDP   []byte
	Early bool
}

// ChangeRefused says that the peer refused the offer of Call.Modify. The session stays as it was.
type ChangeRefused struct{ Code int }

// KeyFrameWanted says that the peer asks for a key frame of the picture that we send.
type KeyFrameWanted struct{}

// Digit is a key that the peer pressed, sent by INFO. A Duration of 0 was not told.
type Digit struct {
	Key      byte
	Duration time.Duration
}

// TransferProgress is the progress of Call.Transfer, as a SIP code: below 200 it goes on, 200 is success.
type TransferProgress struct{ Code int }

// Registered says that the registrar has our contact. It comes for the first success, and for the first after a failure.
type Registered struct{ Expires time.Duration }

// RegistrationFailed says that the registrar refused (Code) or is silent (Code 0). Retry is the pause before the next attempt, 0 if there is none.
type RegistrationFailed struct {
	Code  int
	Info  string
	Retry time.Duration
}

func (Send) output()               {}
func (Reply) output()              {}
func (StatusChanged) output()      {}
func (Offered) output()            {}
func (Answered) output()           {}
func (ChangeRefused) output()      {}
func (KeyFrameWanted) output()     {}
func (Digit) output()              {}
func (TransferProgress) output()   {}
func (Registered) output()         {}
func (RegistrationFailed) output() {}
