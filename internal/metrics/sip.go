package metrics

import (
	"transponder/internal/sip"
	"transponder/internal/sip/dialog"
)

var (
	sipCalls         = desc("sip_calls", "SIP calls that are not over, by status.", "status")
	sipStarted       = desc("sip_calls_started_total", "SIP calls that this server has made (out) or taken (in).", "direction")
	sipEnded         = desc("sip_calls_ended_total", "SIP calls that are over, by reason.", "reason")
	sipTurned        = desc("sip_calls_refused_total", "Requests for a call, and calls of phones, that did not become one.", "cause")
	sipRegistrations = desc("sip_registrations", "Registrations that there should be (wanted), and that SIP servers have accepted (up).", "state")
	sipRegistered    = desc("sip_registers_total", "Registrations that SIP servers accepted for the first time or after a failure, and that failed.", "outcome")
	sipPackets       = desc("sip_packets_total", "RTP packets that came from phones.")
	sipLost          = desc("sip_packets_lost_total", "RTP packets of phones that did not come.")
	sipRefused       = desc("sip_packets_refused_total", "Datagrams at the ports of calls that were no media of the phone.", "cause")
	sipKeyFrames     = desc("sip_key_frame_requests_total", "Requests for a key frame that were sent to phones, by way.", "way")
	sipDropped       = desc("sip_messages_dropped_total", "SIP messages and connections that were dropped.", "cause")
)

// callStatuses are the statuses of calls that are not over.
var callStatuses = []dialog.Status{
	dialog.Pending, dialog.Trying, dialog.Ring, dialog.RingMedia, dialog.SessionProgress, dialog.Established, dialog.Hold,
}

func (s sink) calls(st sip.Stats) {
	for _, status := range callStatuses {
		s.gauge(sipCalls, float64(st.Calls[status]), string(status))
	}
	s.counter(sipStarted, st.StartedOut, "out")
	s.counter(sipStarted, st.StartedIn, "in")
	for reason, n := range st.Ended {
		s.counter(sipEnded, n, string(reason))
	}
	s.gauge(sipRegistrations, float64(st.Registrations.Wanted), "wanted")
	s.gauge(sipRegistrations, float64(st.Registrations.Up), "up")
	s.counter(sipRegistered, st.Registered, "accepted")
	s.counter(sipRegistered, st.RegisterFailed, "failed")
	s.counter(sipPackets, st.Received)
	s.counter(sipLost, st.Lost)
	for cause, n := range st.Turned {
		s.counter(sipTurned, n, cause)
	}
	for cause, n := range st.Refused {
		s.counter(sipRefused, n, cause)
	}
	for way, n := range st.KeyFrames {
		s.counter(sipKeyFrames, n, way)
	}
	for cause, n := range st.Dropped {
		s.counter(sipDropped, n, cause)
	}
	s.counter(panics, st.Panics, "sip")
}
