package dialog

import (
	"fmt"
)

// Status is the state of a call in the words of the Web SDK and of the REST API.
type Status string

const (
	Pending         Status = "PENDING" // INVITE is not sent yet; or it came in, and we have not said that it rings
	Trying          Status = "TRYING"
	Ring            Status = "RING"
	RingMedia       Status = "RING_MEDIA"
	SessionProgress Status = "SESSION_PROGRESS"
	Established     Status = "ESTABLISHED"
	Hold            Status = "HOLD"
	Busy            Status = "BUSY"
	Finish          Status = "FINISH"
	Failed          Status = "FAILED"
)

// Final reports whether no other status follows.
func (s Status) Final() bool { return s == Busy || s == Finish || s == Failed }

// Reason says why a call has ended. The list is closed.
type Reason string

const (
	ReasonBusy           Reason = "busy"
	ReasonNoAnswer       Reason = "no_answer"
	ReasonRejected       Reason = "rejected"
	ReasonNotFound       Reason = "not_found"
	ReasonAuthFailed     Reason = "auth_failed"
	ReasonNoCodec        Reason = "no_codec"
	ReasonMediaTimeout   Reason = "media_timeout"
	ReasonTransport      Reason = "transport"
	ReasonCancelled      Reason = "cancelled"
	ReasonHungUp         Reason = "hung_up"
	ReasonPolicy         Reason = "policy"
	ReasonSessionExpired Reason = "session_expired"
)

// ending is how a call ends when we end it.
type ending struct {
	status Status
	code   int    // refuses an incoming call that was not answered yet
	cause  string // the field Reason of BYE and CANCEL (RFC 3326)
}

var endings = map[Reason]ending{
	ReasonBusy:           {Busy, 486, `Q.850;cause=17;text="User busy"`},
	ReasonNoAnswer:       {Finish, 480, `Q.850;cause=19;text="No answer"`},
	ReasonRejected:       {Busy, 603, `Q.850;cause=21;text="Call rejected"`},
	ReasonNotFound:       {Failed, 404, `Q.850;cause=1;text="Unallocated number"`},
	ReasonAuthFailed:     {Failed, 403, `Q.850;cause=21;text="Call rejected"`},
	ReasonNoCodec:        {Failed, 488, `SIP;cause=488;text="No common codec"`},
	ReasonMediaTimeout:   {Failed, 480, `SIP;cause=408;text="No media"`},
	ReasonTransport:      {Failed, 503, `SIP;cause=503;text="Transport failed"`},
	ReasonCancelled:      {Finish, 603, `Q.850;cause=16;text="Cancelled"`},
	ReasonHungUp:         {Finish, 603, `Q.850;cause=16;text="Normal call clearing"`},
	ReasonPolicy:         {Failed, 403, `Q.850;cause=21;text="Call rejected"`},
	ReasonSessionExpired: {Failed, 480, `SIP;cause=408;text="Session expired"`},
}

// judge says what a final response other than 2xx to our INVITE means.
func judge(r *Response) (Status, Reason, string) {
	info := fmt.Sprintf("%d %s", r.Code, r.Phrase)
	switch {
	case r.unanswered:
		return Failed, ReasonTransport, r.Phrase
	case r.Code < 400:
		return Failed, ReasonPolicy, info + ": a redirection is not followed"
	}
	switch r.Code {
	case 401, 407:
		return Failed, ReasonAuthFailed, info
	case 404, 410, 484, 485, 604:
		return Failed, ReasonNotFound, info
	case 408, 480:
		return Finish, ReasonNoAnswer, info
	case 486, 600:
		return Busy, ReasonBusy, info
	case 603:
		return Busy, ReasonRejected, info
	case 415, 488, 606:
		if warning := r.Header.Get("Warning"); warning != "" {
			info += ": " + warning
		}
		return Failed, ReasonNoCodec, info
	case 503, 504:
		if after := r.Header.number("Retry-After"); after > 0 {
			info += fmt.Sprintf(": the peer asks to call again in %d s", after)
		}
		return Failed, ReasonTransport, info
	}
	return Failed, ReasonRejected, info
}
