package rest

import (
	"encoding/json"

	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/sdp"
)

// The providers of a call in the words of the contract.
const (
	providerSIP    = "SIP"    // made by this API, or taken for a stream
	providerWebRTC = "WebRTC" // one end is a page
)

// callBody is a call in an answer. The first block has the members of the published contract; the second is ours. The contract's
// inviteParameters and sipMessageRaw are always null: they would show what the peers say to each other, passwords included.
type callBody struct {
	NodeID           string          `json:"nodeId,omitempty"`
	AppKey           string          `json:"appKey"`
	SessionID        string          `json:"sessionId"`
	CallID           string          `json:"callId"`
	ParentCallID     *string         `json:"parentCallId"`
	Incoming         bool            `json:"incoming"`
	Status           string          `json:"status"`
	SIPStatus        int             `json:"sipStatus"` // of the last response to the INVITE, or of a REGISTER that failed before
	Caller           string          `json:"caller"`
	Callee           string          `json:"callee"`
	VisibleName      string          `json:"visibleName"`
	HasAudio         bool            `json:"hasAudio"`
	HasVideo         bool            `json:"hasVideo"`
	SDP              *string         `json:"sdp"`
	InviteParameters *string         `json:"inviteParameters"`
	SIPMessageRaw    *string         `json:"sipMessageRaw"`
	MediaProvider    string          `json:"mediaProvider"`
	IsMSRP           bool            `json:"isMsrp"`
	Target           *string         `json:"target"` // of a transfer
	HoldForTransfer  bool            `json:"holdForTransfer"`
	StreamName       *string         `json:"streamName"`
	RTMPURL          *string         `json:"rtmpUrl"`
	RTMPStream       *string         `json:"rtmpStream"`
	RTMPStreamStatus *string         `json:"rtmpStreamStatus"`
	Custom           json.RawMessage `json:"custom"`

	Reason           string `json:"reason"`
	Info             string `json:"info"`
	Injected         string `json:"injected,omitempty"` // the stream or sound file that the phone hears
	Digits           string `json:"digits,omitempty"`   // that the phone sent
	StartedAt        int64  `json:"startedAt"`          // ms since 1970
	AnsweredAt       int64  `json:"answeredAt,omitempty"`
	EndedAt          int64  `json:"endedAt,omitempty"`
	AudioCodec       string `json:"audioCodec"`
	VideoCodec       string `json:"videoCodec"`
	PacketsReceived  int64  `json:"packetsReceived"`
	PacketsLost      int64  `json:"packetsLost"`
	PacketsRefused   int64  `json:"packetsRefused"`
	KeyFrameRequests int64  `json:"keyFrameRequests"`
}

func newCallBody(c sip.Info, nodeID string) callBody {
	b := callBody{
		NodeID:           nodeID,
		AppKey:           c.AppKey,
		SessionID:        c.SessionID,
		CallID:           c.CallID,
		Incoming:         c.Incoming,
		Status:           string(c.Status),
		SIPStatus:        c.Code,
		Caller:           c.Caller,
		Callee:           c.Callee,
		VisibleName:      c.Visible,
		HasAudio:         c.Audio,
		HasVideo:         c.Video,
		SDP:              orNull(sdp.Redact(c.SDP)),
		MediaProvider:    providerSIP,
		Target:           orNull(c.Target),
		HoldForTransfer:  c.HoldForTransfer,
		StreamName:       orNull(c.StreamName),
		RTMPURL:          orNull(c.RTMPURL),
		RTMPStream:       orNull(c.RTMPStream),
		RTMPStreamStatus: orNull(c.PushStatus),
		Custom:           c.Custom,

		Reason:           string(c.Reason),
		Info:             c.Detail,
		Injected:         c.Injected,
		Digits:           c.Digits,
		StartedAt:        milliseconds(c.Started),
		AnsweredAt:       milliseconds(c.Answered),
		EndedAt:          milliseconds(c.Ended),
		AudioCodec:       c.AudioCodec.String(),
		VideoCodec:       c.VideoCodec.String(),
		PacketsReceived:  c.PacketsReceived,
		PacketsLost:      c.PacketsLost,
		PacketsRefused:   c.PacketsRefused,
		KeyFrameRequests: c.KeyFrameRequests,
	}
	if c.Browser {
		b.MediaProvider = providerWebRTC
	}
	return b
}

// orNull returns nil for an empty text: the contract has null there.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// forStrangers returns what a client on another machine without a password may see of a call: not the SDP of the peer, and not the words
// by which it would learn what answers in the private networks of this server.
func forStrangers(c sip.Info) sip.Info {
	c.SDP = ""
	if c.Reason == dialog.ReasonTransport || c.Reason == dialog.ReasonMediaTimeout {
		c.Detail = ""
	}
	return c
}
