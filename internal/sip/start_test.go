package sip

import (
	"errors"
	"strings"
	"testing"
	"time"

	"transponder/internal/sip/dialog"
	"transponder/internal/stream"
	"transponder/internal/testkit/phone"
	"transponder/internal/transponder"
)

// A request whose push begins with it gets a stream of its own, and the push is published under the name that was asked for.
func TestPushOfCall(t *testing.T) {
	tests := []struct {
		name           string
		r              Request
		stream, target string
	}{
		{"all named", Request{ToStream: "cam", RTMPStream: "live"}, "cam", "live"},
		{"stream only", Request{ToStream: "cam"}, "cam", "cam"},
		{"target only", Request{RTMPStream: "live"}, "sip-c", "live"},
		{"none", Request{}, "sip-c", "bob"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, nil)
			p := s.phone()
			tt.r.CallID, tt.r.Callee, tt.r.Audio, tt.r.RTMPURL = "c", p.URI("bob"), true, "rtmp://live.example/app"
			tt.r.Picture = "card"
			s.start(tt.r)
			push := s.pushes.started[0]
			if src, ok := s.hub.Source(tt.stream); !ok || src.Info().Title != "bob" || push.Options.Picture != "card" {
				t.Errorf("a card for %q, %v; the push has the options %+v", src.Info().Title, ok, push.Options)
			}
			if push.StreamName != tt.stream || push.TargetName != tt.target || push.URL != tt.r.RTMPURL {
				t.Errorf("the push is %+v", push)
			}
			if i := s.one(); i.StreamName != tt.stream || i.PushStatus != "PENDING" || i.RTMPURL != tt.r.RTMPURL {
				t.Errorf("the call is %+v", i)
			}
			s.pushes.set(transponder.Live)
			if i := s.one(); i.PushStatus != "PUBLISHING" {
				t.Errorf("the push is %s", i.PushStatus)
			}
			p.Reply(p.Await("INVITE"), phone.Reply{Code: 486})
			s.wait("the end", func(i Info) bool { return i.Status.Final() })
			s.pushes.set(transponder.Failed)
			if i := s.one(); i.PushStatus != "FAILED" {
				t.Errorf("the push is %s", i.PushStatus)
			}
			s.pushes.live = nil
			if i := s.one(); i.PushStatus != "STOPPED" {
				t.Errorf("the push is %s", i.PushStatus)
			}
		})
	}
}

func (f *fakePushes) set(state transponder.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live[0].State = state
}

// What cannot be had is refused, and leaves nothing behind.
func TestRefusedRequests(t *testing.T) {
	good := Request{CallID: "c2", Callee: "sip:bob@127.0.0.1:9", Audio: true, ToStream: "s2", RTMPURL: "rtmp://x/y", RTMPStream: "p2"}
	tests := []struct {
		name   string
		change func(r *Request)
		want   error  // one of them
		field  string // of a RequestError
	}{
		{"id taken", func(r *Request) { r.CallID = "c1" }, ErrCallID, ""},
		{"id of a stream", func(r *Request) { r.CallID = "stream" }, ErrCallID, ""},
		{"push taken", func(r *Request) { r.RTMPStream = "p1" }, ErrPushed, ""},
		{"stream taken", func(r *Request) { r.ToStream = "s1" }, stream.ErrNameInUse, ""},
		{"bad stream", func(r *Request) { r.ToStream = "a://b" }, stream.ErrName, ""},
		{"push refused", func(r *Request) { r.RTMPURL = "rtmp://refused/y" }, transponder.ErrDuplicate, ""},
		{"denied", func(r *Request) { r.Callee = "sip:00@127.0.0.1" }, ErrPolicy, ""},
		{"forbidden address", func(r *Request) { r.Callee = "sip:bob@169.254.169.254" }, ErrPolicy, ""},
		{"no id", func(r *Request) { r.CallID = "" }, nil, "callId"},
		{"bad id", func(r *Request) { r.CallID = "a\nb" }, nil, "callId"},
		{"long id", func(r *Request) { r.CallID = strings.Repeat("x", 252) }, nil, "callId"},
		{"no callee", func(r *Request) { r.Callee = "" }, nil, "callee"},
		{"nothing to hear or see", func(r *Request) { r.Audio = false }, nil, "hasAudio, hasVideo"},
		{"name of no push", func(r *Request) { r.RTMPURL, r.RTMPStream = "", "show" }, nil, "rtmpUrl"},
		{"picture of no push", func(r *Request) { r.RTMPURL, r.Picture = "", "card" }, nil, "rtmpUrl"},
		{"header in the name", func(r *Request) { r.VisibleName = "a\r\nX: y" }, nil, "visibleName"},
	}
	s := newServer(t, func(c *Config) { c.DeniedCallees = "^00" })
	p := s.phone()
	s.start(Request{CallID: "c1", Callee: p.URI("bob"), Audio: true, ToStream: "s1", RTMPURL: "rtmp://x/y", RTMPStream: "p1"})
	other, err := s.hub.Publish(stream.Info{Name: "other", ID: "stream"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(nil)
	for _, tt := range tests {
		r := good
		tt.change(&r)
		s.pushes.refuse = nil
		if strings.Contains(r.RTMPURL, "refused") {
			s.pushes.refuse = transponder.ErrDuplicate
		}
		err := s.Start(t.Context(), r)
		var bad *RequestError
		if tt.want != nil && !errors.Is(err, tt.want) || tt.field != "" && (!errors.As(err, &bad) || bad.Field != tt.field) {
			t.Errorf("%s: %v, want %v %s", tt.name, err, tt.want, tt.field)
		}
		if n, m := len(s.hub.Sources()), len(s.pushes.live); n != 2 || m != 1 || s.one().CallID != "c1" {
			t.Errorf("%s leaves %d streams and %d pushes", tt.name, n, m)
		}
	}
	s.pushes.refuse = nil
	s.start(good) // all that was refused is free
	p.Reply(p.Await("INVITE"), phone.Reply{Code: 486})
	if turned := s.Stats().Turned; turned["policy"] != 2 || turned["duplicate"] != 5 || turned["request"] != 8 {
		t.Errorf("turned away: %v", turned)
	}
}

// The settings limit how many calls there are, and how many start.
func TestLimits(t *testing.T) {
	s := newServer(t, func(c *Config) { c.MaxCalls, c.CallsPerMinute = 2, 3 })
	p := s.phone()
	request := func(id string) Request { return Request{CallID: id, Callee: p.URI("bob" + id), Audio: true} }
	s.start(request("1"))
	s.start(request("2"))
	if err := s.Start(t.Context(), request("3")); !errors.Is(err, ErrTooMany) {
		t.Errorf("a third call: %v", err)
	}
	if err := s.Terminate("1"); err != nil {
		t.Fatal(err)
	}
	s.start(request("3"))
	if err := s.Terminate("2"); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), request("4")); !errors.Is(err, ErrTooMany) {
		t.Errorf("a fourth start within a minute: %v", err)
	}
	invite, err := p.Find("INVITE", "3", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	p.Reply(invite, phone.Reply{Code: 486})
}

func TestSwitchedOff(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Enabled = false })
	if err := s.Start(t.Context(), Request{CallID: "c", Callee: "sip:bob@127.0.0.1", Audio: true}); err != ErrOff {
		t.Errorf("a call starts: %v", err)
	}
}

func TestFilter(t *testing.T) {
	i := Info{CallID: "c", Callee: "bob", Caller: "ann", RTMPURL: "rtmp://x/y", StreamName: "cam", Status: dialog.Ring}
	for _, f := range []Filter{
		{}, {CallID: "c"}, {Callee: "bob"}, {Caller: "ann"}, {RTMPURL: "rtmp://x/y"}, {ToStream: "cam"}, {Status: dialog.Ring},
		{CallID: "c", Callee: "bob", Caller: "ann", RTMPURL: "rtmp://x/y", ToStream: "cam", Status: dialog.Ring},
	} {
		if !f.matches(i) {
			t.Errorf("%+v does not match", f)
		}
	}
	for _, f := range []Filter{{CallID: "d"}, {Callee: "eve"}, {Caller: "eve"}, {RTMPURL: "x"}, {ToStream: "x"}, {CallID: "c", Status: dialog.Hold}} {
		if f.matches(i) {
			t.Errorf("%+v matches", f)
		}
	}
}

// A request for a call names the picture of its push by another name than a request for a push.
func TestPictureOfPushRefused(t *testing.T) {
	var bad *RequestError
	if err := ownMember(&transponder.RequestError{Field: "options.picture", Reason: "no such file"}); !errors.As(err, &bad) || bad.Field != "picture" {
		t.Errorf("%v, want the member picture", err)
	}
	if err := ownMember(transponder.ErrDuplicate); !errors.Is(err, transponder.ErrDuplicate) {
		t.Errorf("%v, want the error of the push", err)
	}
}
