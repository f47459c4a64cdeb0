// Package dialog holds the state machines of SIP: Call for a call in either direction, Registration for one address at a registrar
// (RFC 3261, 3262, 3311, 3515, 4028).
//
// The package has no socket, no goroutine, no lock and no clock. Its user hands in messages and the time, calls Tick when Deadline is
// reached, and carries out what Take returns. It is called from one goroutine at a time.
//
// internal/sip/line sends the messages: it adds Via, Max-Forwards and Content-Length, repeats requests over UDP, and acknowledges final
// responses to INVITE other than 2xx. Here only a 2xx is acknowledged and repeated, because that is the work of the dialog. The package
// treats SDP as bytes: internal/sip decides what an offer and an answer mean.
package dialog
