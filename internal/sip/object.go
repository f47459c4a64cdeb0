package sip

import (
	"cmp"
	"strings"
)

// DialName returns the name under which grants know a callee: "sip:" and the callee as the client wrote it, without a scheme of its own. Whoever
// may make a call has a grant to play what the callee sends.
func DialName(callee string) string {
	for _, scheme := range []string{"sip:", "sips:"} {
		if len(callee) >= len(scheme) && strings.EqualFold(callee[:len(scheme)], scheme) {
			callee = callee[len(scheme):]
			break
		}
	}
	return "sip:" + callee
}

// PublishedName returns the name of the stream that the request makes of the phone's media.
func (r Request) PublishedName() string { return cmp.Or(r.ToStream, "sip-"+r.CallID) }

// Object returns the name under which grants know the call: the name of its stream, or DialName of the other side.
func (i Info) Object() string {
	switch {
	case i.StreamName != "":
		return i.StreamName
	case i.Incoming:
		return DialName(i.Caller)
	}
	return DialName(i.Callee)
}
