package transponder

import (
	"errors"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/testkit"
)

// realRights are the real parts behind Rights.
type realRights struct {
	*access.Quotas
	*access.Leases
}

func newRights() realRights { return realRights{access.NewQuotas(), access.NewLeases()} }

// TestPushLimit holds that somebody has no more pushes than he may, and that a place is free again when a push is over or was refused.
func TestPushLimit(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FailedFor = 0 })
	rights := newRights()
	b.parts.Rights = rights
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	anna := &access.Principal{
		Kind: access.Token, Subject: "anna", Limits: access.Limits{Pushes: 1},
		Grants: []access.Grant{{Actions: []access.Action{access.Push}, Streams: []string{"*"}, URLs: []string{server.URL("*")}}},
	}
	start := func(app string) (Info, error) {
		return b.Start(t.Context(), Request{StreamName: "s", URL: server.URL(app), By: anna})
	}
	first, err := start("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start("a"); !errors.Is(err, ErrDuplicate) {
		t.Errorf("the same once more: %v", err)
	}
	for range 3 {
		var full *access.Full
		if _, err := start("b"); !errors.As(err, &full) || full.Of != "pushes" {
			t.Errorf("one too many: %v", err)
		}
	}
	b.start(Request{StreamName: "s", URL: server.URL("c")}) // somebody else
	if err := b.Terminate(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	second, err := start("b")
	if err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
	s.live(t, server)
	if err := b.Terminate(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	if n := rights.Len(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

// A push that goes to several addresses at the same time counts as that many pushes. One that goes to one of them at a time counts once.
func TestPushLimitOfAddresses(t *testing.T) {
	b := newBench(t, nil)
	rights := newRights()
	b.parts.Rights = rights
	server := testkit.NewRTMPServer(t, testkit.Script{})
	b.source("s")
	anna := access.Whole(access.Token)
	anna.Subject, anna.Limits.Pushes = "anna", 2
	start := func(simultaneous bool, apps ...string) error {
		var urls []string
		for _, app := range apps {
			urls = append(urls, server.URL(app))
		}
		info, err := b.Start(t.Context(), Request{
			StreamName: "s", URL: urls[0], By: anna, Options: Options{BackupURLs: urls[1:], Simultaneous: simultaneous},
		})
		if err == nil {
			err = b.Terminate(t.Context(), info.ID)
		}
		return err
	}
	var full *access.Full
	for range 2 {
		if err := start(true, "a", "b", "c"); !errors.As(err, &full) {
			t.Errorf("three at the same time: %v", err)
		}
		if err := start(true, "a", "b"); err != nil {
			t.Errorf("two at the same time: %v", err)
		}
		if err := start(false, "a", "b", "c"); err != nil {
			t.Errorf("three in turn: %v", err)
		}
	}
}

// TestRightsEnd holds that a push ends when whoever started it has lost the right to it, with a goodbye and with words, and no other push does.
func TestRightsEnd(t *testing.T) {
	b := newBench(t, nil)
	rights := newRights()
	b.parts.Rights = rights
	server := testkit.NewRTMPServer(t, testkit.Script{})
	s := b.source("s")
	by := func(kind access.Kind, subject string, until time.Time) *access.Principal {
		p := access.Whole(kind)
		p.Subject, p.Until = subject, until
		return p
	}
	token := b.start(Request{StreamName: "s", URL: server.URL("a"), By: by(access.Token, "anna", time.Time{})})
	user := b.start(Request{StreamName: "s", URL: server.URL("b"), By: by(access.User, "bert", time.Time{})})
	b.wait("life", func() bool { s.write(1, 20); return b.Find(Filter{ID: token.ID})[0].State == Live })
	rights.End(func(p *access.Principal) bool { return p.Kind == access.Token }, access.ErrRevoked)
	end := b.end()
	if end.ID != token.ID || end.State != Ended || end.Reason != ReasonTerminated || !strings.Contains(end.Detail, "revoked") {
		t.Errorf("ended %+v", end)
	}
	server.Wait(t, "goodbye", func() bool {
		return countCalls(server, "FCUnpublish('rtmp_s')")+countCalls(server, "deleteStream(1)") > 0
	})
	if got := b.Find(Filter{ID: user.ID}); len(got) != 1 || got[0].State == Ended {
		t.Errorf("the push of somebody else: %+v", got)
	}
	rights.End(func(p *access.Principal) bool { return p.Subject == "bert" }, access.ErrRevoked)
	if end := b.end(); end.ID != user.ID || end.State != Ended || !strings.Contains(end.Detail, "a user was removed") {
		t.Errorf("ended %+v", end)
	}
	b.start(Request{StreamName: "s", URL: server.URL("c"), By: by(access.Key, "carl", time.Now().Add(50*time.Millisecond))})
	if end := b.end(); end.State != Ended || !strings.Contains(end.Detail, "is over") {
		t.Errorf("ended %+v", end)
	}
}
