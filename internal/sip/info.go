package sip

import (
	"encoding/json"
	"time"

	"transponder/internal/media"
	"transponder/internal/sip/dialog"
)

// Info is a snapshot of a call.
type Info struct {
	CallID     string
	Incoming   bool
	Status     dialog.Status
	Reason     dialog.Reason // of a final status
	Detail     string        // words for people, of a final status
	Code       int           // of the last SIP response to the INVITE, or of the REGISTER that failed before; 0 before the first response
	Caller     string
	Callee     string
	Visible    string // the caller's display name
	Browser    bool   // one end is a page of the Web SDK
	SessionID  string // of the page
	StreamName string // "": the stream has no public name
	RTMPURL    string // as in the request
	RTMPStream string // the name to publish under, as in the request
	// PushStatus is the state of the push of RTMPURL: "PENDING", "PUBLISHING", "FAILED", "STOPPED"; "" without RTMPURL.
	PushStatus string
	AppKey     string
	Custom     json.RawMessage
	Owner      string // as in the request

	Audio, Video           bool // as agreed on; before that, as asked for
	AudioCodec, VideoCodec media.Codec
	SDP                    string // the peer's last one, without keys; "" before the first
	HoldForTransfer        bool
	Target                 string // of a transfer
	Injected               string // name of the injected stream or sound file that the phone hears now; "": none

	Started  time.Time
	Answered time.Time // zero before
	Ended    time.Time // zero before

	PacketsReceived, PacketsLost int64
	PacketsRefused               int64  // came from strangers, or were no media of the call
	KeyFrameRequests             int64  // that were sent to the phone
	Digits                       string // that the phone sent, the last 64
}
