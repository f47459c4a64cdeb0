package sip

import (
	"strings"
	"testing"

	"transponder/internal/access"
	"transponder/internal/sip/dialog"
	"transponder/internal/testkit/phone"
)

// A call is hung up when the client who asked for it loses his rights. Calls of others go on.
func TestCallEndsWithRights(t *testing.T) {
	s := newServer(t, nil)
	leases := access.NewLeases()
	s.parts.Hold = leases.Hold
	p := s.phone()
	client := access.Whole(access.Token) // the phone is on this machine
	client.Subject = "a"
	s.start(Request{CallID: "call-1", Callee: p.URI("bob"), Audio: true, ToStream: "cam", By: client})
	c := p.Answer(phone.Plan{Audio: phone.NewStream(t)})
	s.wait("established", func(i Info) bool { return i.Status == dialog.Established })
	if n := leases.End(func(p *access.Principal) bool { return p.Subject == "b" }, access.ErrRevoked); n != 0 {
		t.Errorf("%d leases of somebody else", n)
	}
	if n := leases.End(func(p *access.Principal) bool { return p == client }, access.ErrRevoked); n != 1 {
		t.Fatalf("%d leases of the client, want 1", n)
	}
	c.Await("BYE")
	if i := s.wait("over", func(i Info) bool { return i.Status.Final() }); !strings.Contains(i.Detail, "access_revoked") {
		t.Errorf("the call ended with %q", i.Detail)
	}
	if _, found := s.hub.Source("cam"); found {
		t.Error("the stream goes on")
	}
	s.stop()
	if n := leases.End(func(*access.Principal) bool { return true }, access.ErrRevoked); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}
