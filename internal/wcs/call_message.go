package wcs

import (
	"encoding/json"
	"fmt"
	"strings"

	"transponder/internal/sip"
)

// callRequest is the object of call and answer.
type callRequest struct {
	CallID        text            `json:"callId"`
	Callee        text            `json:"callee"`
	VisibleName   text            `json:"visibleName"`
	MediaProvider text            `json:"mediaProvider"`
	SDP           text            `json:"sdp"`
	SIPSDP        texts           `json:"sipSDP"`
	Custom        json.RawMessage `json:"custom"`
}

// callRef is the object of the other messages about a call.
type callRef struct {
	CallID          text `json:"callId"`
	HoldForTransfer flag `json:"holdForTransfer"`
	Target          text `json:"target"` // of transfer
	DTMF            text `json:"dtmf"`
	Type            text `json:"type"` // of digits
}

// callInfo is the call object. The SDK reads callId and status; from notifyIncomingCall it takes all others.
type callInfo struct {
	CallID        string `json:"callId"`
	Status        string `json:"status,omitempty"`
	Info          string `json:"info,omitempty"`
	Reason        string `json:"reason,omitempty"` // an addition to the contract: why access was refused
	Incoming      bool   `json:"incoming"`
	Caller        string `json:"caller,omitempty"`
	Callee        string `json:"callee,omitempty"`
	VisibleName   string `json:"visibleName,omitempty"`
	HasAudio      bool   `json:"hasAudio"`
	HasVideo      bool   `json:"hasVideo"`
	MediaProvider string `json:"mediaProvider"`
}

// callStatus is the least that the SDK reads.
type callStatus struct {
	CallID string `json:"callId"`
	Status string `json:"status"`
}

// transferInfo is the object of notifyTransferEvent.
type transferInfo struct {
	CallID string `json:"callId"`
	Status string `json:"status"`
}

// transferCompleted is the status of a transfer that has succeeded. The SDK acts on it.
const transferCompleted = "COMPLETED"

// transferStatus returns the word of the SDK for the progress of a transfer.
func transferStatus(code int) string {
	switch {
	case code < 200:
		return "TRYING"
	case code < 300:
		return transferCompleted
	default:
		return failed
	}
}

// digitsInfo is the object of notifyDtmf, which is an addition to the contract.
type digitsInfo struct {
	CallID string `json:"callId"`
	DTMF   string `json:"dtmf"`
}

// The most that a page may add to the SDP for the phone.
const (
	maxSDPLines = 20
	maxSDPLine  = 255
)

// checkSDPLines accepts bandwidths and attributes only, so that a page cannot write other parts of the SDP.
func checkSDPLines(lines []string) error {
	if len(lines) > maxSDPLines {
		return &sip.RequestError{Field: "sipSDP", Reason: fmt.Sprintf("has more than %d lines", maxSDPLines)}
	}
	for _, line := range lines {
		switch {
		case len(line) > maxSDPLine:
			return &sip.RequestError{Field: "sipSDP", Reason: fmt.Sprintf("has a line longer than %d bytes", maxSDPLine)}
		case !strings.HasPrefix(line, "a=") && !strings.HasPrefix(line, "b="):
			return &sip.RequestError{Field: "sipSDP", Reason: "has a line that begins neither with a= nor with b="}
		case strings.ContainsFunc(line, isControl):
			return &sip.RequestError{Field: "sipSDP", Reason: "contains control characters"}
		}
	}
	return nil
}

// maxDigits is how many digits a page may send in one message.
const maxDigits = 64

// checkDigits accepts the keys of a telephone, and a comma for a pause.
func checkDigits(keys string, how sip.Digits) error {
	switch how {
	case "", sip.DigitsRTP, sip.DigitsInfo, sip.DigitsInfoRelay:
	default:
		return &sip.RequestError{Field: "type", Reason: "is none of RFC2833, INFO and INFO_RELAY"}
	}
	if keys == "" || len(keys) > maxDigits || strings.Trim(keys, "0123456789*#ABCDabcd,") != "" {
		return &sip.RequestError{Field: "dtmf", Reason: fmt.Sprintf("must be 1 to %d of 0-9, *, #, A-D and comma", maxDigits)}
	}
	return nil
}

// check returns what is wrong with a request, as far as that is known before the SDP is read.
func (r callRequest) check() error {
	switch {
	case r.CallID == "":
		return errNullCallID
	case len(r.CallID) > maxID:
		return errBadCallID
	case r.MediaProvider != "" && r.MediaProvider != webRTC:
		return &sip.RequestError{Field: "mediaProvider", Reason: "is not " + webRTC}
	case len(r.Custom) > maxCustom:
		return &sip.RequestError{Field: "custom", Reason: fmt.Sprintf("is longer than %d bytes", maxCustom)}
	}
	for _, w := range []struct {
		name  string
		value text
	}{{"callee", r.Callee}, {"visibleName", r.VisibleName}} {
		if err := checkWord(w.name, string(w.value)); err != nil {
			return err
		}
	}
	return checkSDPLines(r.SIPSDP)
}

// hasSection says whether SDP has a section of a kind: "audio" or "video".
func hasSection(sdp, kind string) bool {
	for line := range strings.Lines(sdp) {
		if strings.HasPrefix(line, "m="+kind+" ") {
			return true
		}
	}
	return false
}
