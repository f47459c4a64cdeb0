// Package sip makes and takes SIP calls. A call is a stream like any other: what the phone sends is published in the hub, and what the
// phone hears and sees is played from the hub.
//
// Calls holds all calls. Package rest asks Calls for the calls of its API, and package wcs for the calls of pages. One goroutine runs each call;
// it owns the state machine of the call (package dialog), the media sockets (package leg) and the stream. Package line sends and receives
// the messages, package sdp reads and writes offers and answers. Package rest learns what happens from Info, package wcs from PhoneEvents.
//
// Calls.Run runs everything here and joins it. At the end it hangs up every call, then removes the registrations.
//
// The specifications are RFC 3261 (SIP), RFC 3264 (offer and answer), RFC 3550 (RTP), RFC 4028 (session timers), RFC 4733 (digits).
package sip
