package sip

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/sip/dialog"
	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// A call becomes a stream: the name is taken at once, the stream is live when the phone sends, and it ends with the call.
func TestCallBecomesStream(t *testing.T) {
	s := newServer(t, nil)
	p := s.phone()
	s.start(Request{CallID: "call-1", Callee: p.URI("bob"), Audio: true, Video: true, ToStream: "cam", AppKey: "app"})
	src, found := s.hub.Source("cam")
	if !found || src.IsLive() || src.Info().Provider != "SIP" || src.Info().AppKey != "app" {
		t.Fatalf("the stream is not reserved: %v, %+v", found, src)
	}
	c := p.Answer(phone.Plan{Audio: phone.NewStream(t), Video: phone.NewStream(t)})
	i := s.wait("established", func(i Info) bool { return i.Status == dialog.Established })
	if i.Code != 200 || !i.Audio || !i.Video || i.AudioCodec != media.PCMU || i.VideoCodec != media.H264 || i.Answered.IsZero() || i.SDP == "" {
		t.Errorf("the call is %+v", i)
	}
	if src.IsLive() {
		t.Error("the stream is live before the phone has sent anything")
	}
	stopSound := c.Audio.Play(&phone.Sound{Type: c.AudioType, SSRC: 7, Payload: phone.Tone(440, false, nil)}, phone.Reports{})
	picture := &phone.Picture{Type: c.VideoType, SSRC: 8, FPS: 25, Units: testkit.SyntheticUnits(10, 3000)}
	stopPicture := c.Video.Play(picture, phone.Reports{})
	defer stopSound()
	defer stopPicture()
	testkit.Eventually(t, 5*time.Second, func() string {
		if stats := src.Stats(); !stats.Live || stats.Video.Frames < 20 || stats.Audio.Frames < 20 {
			return "not live with 20 frames each"
		}
		return ""
	})
	if err := s.Terminate("call-1"); err != nil {
		t.Fatal(err)
	}
	if i := s.one(); i.Status != dialog.Finish || i.Reason != dialog.ReasonHungUp || i.PacketsReceived < 40 || i.PacketsLost != 0 {
		t.Errorf("after the end the call is %+v", i)
	}
	c.Await("BYE")
	if _, found := s.hub.Source("cam"); found {
		t.Error("the name of the stream is not free")
	}
	if err := s.Terminate("call-1"); err != ErrNoCall {
		t.Errorf("the call ends twice: %v", err)
	}
}

// Each answer of a phone gives its status, its reason, and its code.
func TestStatuses(t *testing.T) {
	tests := []struct {
		name    string
		replies []phone.Reply
		final   phone.Reply
		status  dialog.Status
		reason  dialog.Reason
	}{
		{"busy", []phone.Reply{{Code: 180}}, phone.Reply{Code: 486}, dialog.Busy, dialog.ReasonBusy},
		{"declined", nil, phone.Reply{Code: 603}, dialog.Busy, dialog.ReasonRejected},
		{"unknown", nil, phone.Reply{Code: 404}, dialog.Failed, dialog.ReasonNotFound},
		{"no answer", []phone.Reply{{Code: 180}, {Code: 180}}, phone.Reply{Code: 480}, dialog.Finish, dialog.ReasonNoAnswer},
		{"redirection", nil, phone.Reply{Code: 302, Contact: "<sip:+900123@192.0.2.1>"}, dialog.Failed, dialog.ReasonPolicy},
		{"other codecs", nil, phone.Reply{Code: 488, Headers: []string{`Warning: 304 x "only G.729"`}}, dialog.Failed, dialog.ReasonNoCodec},
		{"password asked for", nil, phone.Reply{Code: 401, Headers: []string{`WWW-Authenticate: Digest realm="x", nonce="y"`}},
			dialog.Failed, dialog.ReasonAuthFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, nil)
			p := s.phone()
			s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true})
			invite := p.Await("INVITE")
			for _, r := range tt.replies {
				p.Reply(invite, r)
				s.wait("ringing", func(i Info) bool { return i.Status == dialog.Ring })
			}
			p.Reply(invite, tt.final)
			i := s.wait("the end", func(i Info) bool { return i.Status.Final() })
			if i.Status != tt.status || i.Reason != tt.reason || i.Code != tt.final.Code || i.Ended.IsZero() {
				t.Errorf("the call is %+v, want %s, %s", i, tt.status, tt.reason)
			}
			if len(s.hub.Sources()) != 0 {
				t.Error("the stream is still there")
			}
		})
	}
}

// A call that rings is cancelled; the end is known at once, and the phone learns of it.
func TestTerminateWhileRinging(t *testing.T) {
	s := newServer(t, nil)
	p := s.phone()
	s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true})
	invite := p.Await("INVITE")
	p.Reply(invite, phone.Reply{Code: 180})
	s.wait("ringing", func(i Info) bool { return i.Status == dialog.Ring })
	if err := s.Terminate("c"); err != nil {
		t.Fatal(err)
	}
	if i := s.one(); i.Status != dialog.Finish || i.Reason != dialog.ReasonCancelled {
		t.Errorf("the call is %+v", i)
	}
	s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true, ToStream: "again"}) // the id is free
	p.Await("CANCEL")
	p.Await("ACK")
	p.Reply(p.Await("INVITE"), phone.Reply{Code: 486})
}

// A call without an answer of anybody can be terminated, too.
func TestTerminateBeforeAnything(t *testing.T) {
	s := newServer(t, nil)
	p := phone.New(t, phone.Config{Handle: func(*phone.Message) bool { return true }})
	s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true})
	if err := s.Terminate("c"); err != nil {
		t.Fatal(err)
	}
	if i := s.one(); i.Status != dialog.Finish || i.Code != 0 {
		t.Errorf("the call is %+v", i)
	}
}

// The phone hangs up.
func TestPhoneHangsUp(t *testing.T) {
	s := newServer(t, nil)
	p := s.phone()
	s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true})
	c := p.Answer(phone.Plan{Audio: phone.NewStream(t)})
	s.wait("established", func(i Info) bool { return i.Status == dialog.Established })
	c.HangUp()
	if i := s.wait("the end", func(i Info) bool { return i.Status.Final() }); i.Status != dialog.Finish || i.Reason != dialog.ReasonHungUp {
		t.Errorf("the call is %+v", i)
	}
}

// A video call to a phone that refuses pictures is a stream without pictures: pushes do not wait for one.
func TestPhoneRefusesPictures(t *testing.T) {
	s := newServer(t, nil)
	p := s.phone()
	s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true, Video: true})
	src, _ := s.hub.Source("sip-c")
	p.Answer(phone.Plan{Audio: phone.NewStream(t)})
	if i := s.wait("established", func(i Info) bool { return i.Status == dialog.Established }); i.Video || !i.Audio {
		t.Errorf("the call is %+v, want sound only", i)
	}
	if src.HasVideo() || !src.HasAudio() {
		t.Errorf("the stream expects pictures: %v, sound: %v", src.HasVideo(), src.HasAudio())
	}
}

// An early answer is shown as a status, and its media is not published unless the settings want that.
func TestEarlyMedia(t *testing.T) {
	for _, publish := range []bool{false, true} {
		t.Run(fmt.Sprint("publish ", publish), func(t *testing.T) { testEarlyMedia(t, publish) })
	}
}

func testEarlyMedia(t *testing.T, publish bool) {
	s := newServer(t, func(c *Config) { c.EarlyMedia = publish })
	p := s.phone()
	s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true})
	src, _ := s.hub.Source("sip-c")
	invite := p.Await("INVITE")
	audio := phone.NewStream(t)
	offered, _ := phone.Of(phone.ReadSDP(invite.Body), "audio")
	audio.SendTo(offered)
	p.Reply(invite, phone.Reply{Code: 183, SDP: phone.Offer(audio, nil)})
	s.wait("progress", func(i Info) bool { return i.Status == dialog.SessionProgress && i.SDP != "" })
	stop := audio.Play(&phone.Sound{SSRC: 7, Payload: phone.Tone(440, false, nil)}, phone.Reports{})
	s.wait("early packets", func(i Info) bool { return i.PacketsReceived > 5 })
	if src.IsLive() != publish || (src.Stats().Audio.Frames > 0) != publish {
		t.Errorf("early media is published: %v, want %v", src.IsLive(), publish)
	}
	stop()
}

// The call goes through a proxy, which wants a password; every request takes the way that the proxies have asked for.
func TestProxy(t *testing.T) {
	s := newServer(t, nil)
	proxy := s.phone()
	login := phone.Login{Realm: "example.com", Nonce: "n1", User: "ann-auth", Password: "secret-of-ann", QOP: true}
	s.start(Request{CallID: "c", Callee: "bob", Audio: true, VisibleName: `Ann "A"`, Account: Account{
		Login: "ann", AuthName: "ann-auth", Password: "secret-of-ann", Domain: "example.com", OutboundProxy: proxy.Addr().String(),
	}})
	invite := proxy.Await("INVITE")
	if invite.URI != "sip:bob@example.com" || !strings.HasPrefix(invite.Header("From"), `"Ann \"A\"" <sip:ann@example.com>;tag=`) ||
		invite.Header("To") != "<sip:bob@example.com>" || invite.Header("Route") != "<sip:"+proxy.Addr().String()+";lr>" {
		t.Errorf("the INVITE is\n%s", invite.Raw)
	}
	proxy.Reply(invite, phone.Reply{Code: 407, Headers: []string{"Proxy-Authenticate: " + login.Challenge()}})
	again := proxy.Await("INVITE")
	if err := login.Check(again); err != nil {
		t.Errorf("the credentials are wrong: %v", err)
	}
	behind := s.phone()
	proxy.Accept(again, phone.Plan{Audio: phone.NewStream(t), Headers: []string{"Record-Route: <sip:" + behind.Addr().String() + ";lr>"}})
	behind.Await("ACK")
	s.wait("established", func(i Info) bool { return i.Status == dialog.Established })
	if err := s.Terminate("c"); err != nil {
		t.Fatal(err)
	}
	behind.Await("BYE")
	if strings.Contains(s.log.String(), "secret-of-ann") {
		t.Error("the password is in the log")
	}
}

// When the server stops, each phone gets BYE or CANCEL.
func TestStop(t *testing.T) {
	s := newServer(t, nil)
	talking, ringing := s.phone(), s.phone()
	s.start(Request{CallID: "talks", Callee: talking.URI("bob"), Audio: true})
	c := talking.Answer(phone.Plan{Audio: phone.NewStream(t)})
	s.start(Request{CallID: "rings", Callee: ringing.URI("bob"), Audio: true})
	invite := ringing.Await("INVITE")
	ringing.Reply(invite, phone.Reply{Code: 180})
	testkit.Eventually(t, 5*time.Second, func() string {
		if s.Stats().Calls[dialog.Ring] != 1 || s.Stats().Calls[dialog.Established] != 1 {
			return "not ringing and talking"
		}
		return ""
	})
	done := make(chan time.Duration, 1)
	go func() { began := time.Now(); s.stop(); done <- time.Since(began) }()
	c.Await("BYE")
	ringing.Await("CANCEL")
	if took := <-done; took > hangUpLimit {
		t.Errorf("the end took %v though the phones have answered", took)
	}
	if log := s.log.String(); !strings.Contains(log, "call=talks status=FINISH reason=hung_up") || !strings.Contains(log, "call=rings status=FINISH reason=cancelled") {
		t.Error("the reasons do not fit: a call that was answered is hung up, and a call that rings is cancelled")
	}
	if err := s.Start(t.Context(), Request{CallID: "late", Callee: talking.URI("bob"), Audio: true}); err != ErrStopping {
		t.Errorf("a call starts after the end: %v", err)
	}
}
