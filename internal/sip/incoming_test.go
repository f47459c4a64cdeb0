package sip

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// open makes a server that takes calls from this machine.
func open(t *testing.T, change func(*Config)) *server {
	t.Helper()
	return newServer(t, func(c *Config) {
		c.IncomingAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.IncomingStream = "door-{user}"
		if change != nil {
			change(c)
		}
	})
}

// at returns the address of the server.
func (s *server) at() netip.AddrPort {
	s.t.Helper()
	var port int
	testkit.Eventually(s.t, 5*time.Second, func() string {
		if port = s.line.(*line.Line).Port("udp"); port == 0 {
			return "the port is not open"
		}
		return ""
	})
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
}

// A door phone calls: its picture becomes a stream.
func TestIncomingCall(t *testing.T) {
	s := open(t, nil)
	p := s.phone()
	audio, video := phone.NewStream(t), phone.NewStream(t)
	c := p.Dial("sip:yard@transponder.example", s.at(), audio, video)
	i := s.wait("established", func(i Info) bool { return i.Status == dialog.Established })
	if !i.Incoming || i.StreamName != "door-yard" || i.Callee != "yard" || !i.Video || i.VideoCodec != media.H264 || i.CallID != c.CallID {
		t.Errorf("the call is %+v", i)
	}
	src, found := s.hub.Source("door-yard")
	if !found {
		t.Fatal("there is no stream")
	}
	stop := video.Play(&phone.Picture{Type: c.VideoType, SSRC: 8, FPS: 25, Units: testkit.SyntheticUnits(10, 3000)}, phone.Reports{})
	defer stop()
	testkit.Eventually(t, 5*time.Second, func() string {
		if src.Stats().Video.Frames < 5 {
			return "no pictures"
		}
		return ""
	})
	audio.Wait("silence", func() bool { return len(audio.Packets()) > 5 })

	other := s.phone()
	d := other.Calling("sip:yard@transponder.example", s.at())
	if r := d.Request("INVITE", "", phone.Offer(phone.NewStream(t), nil)); r.Code != 486 {
		t.Errorf("a second call for the same stream is answered by %d, want 486", r.Code)
	}
	c.HangUp()
	if i := s.wait("the end", func(i Info) bool { return i.Status.Final() }); i.Status != dialog.Finish || i.Reason != dialog.ReasonHungUp {
		t.Errorf("the call is %+v", i)
	}
	if n := s.Stats(); n.StartedIn != 1 || n.Turned["duplicate"] != 1 {
		t.Errorf("the figures are %+v", n)
	}
}

// An INVITE without SDP gets our offer, as call managers want it; the answer comes in the ACK.
func TestIncomingLateOffer(t *testing.T) {
	s := open(t, nil)
	p := s.phone()
	d := p.Calling("sip:yard@transponder.example", s.at())
	answer := d.Request("INVITE", "", "")
	if _, ok := phone.Of(phone.ReadSDP(answer.Body), "audio"); answer.Code != 200 || !ok {
		t.Fatalf("%d: the offer is\n%s", answer.Code, answer.Body)
	}
	audio := phone.NewStream(t)
	d.Confirm(answer, phone.Offer(audio, nil))
	if i := s.wait("established", func(i Info) bool { return i.Status == dialog.Established }); i.Video || !i.Audio {
		t.Errorf("the call is %+v", i)
	}
	audio.Wait("silence", func() bool { return len(audio.Packets()) > 5 })
	d.HangUp()
}

// A caller who puts us on hold at once has answered and been answered all the same.
func TestIncomingOnHold(t *testing.T) {
	s := open(t, nil)
	p := s.phone()
	d := p.Calling("sip:yard@transponder.example", s.at())
	answer := d.Request("INVITE", "", strings.ReplaceAll(phone.Offer(phone.NewStream(t), nil), "a=sendrecv", "a=sendonly"))
	if audio, _ := phone.Of(phone.ReadSDP(answer.Body), "audio"); audio.Direction() != "recvonly" {
		t.Errorf("the answer is\n%s", answer.Body)
	}
	d.Confirm(answer, "")
	if i := s.wait("hold", func(i Info) bool { return i.Status == dialog.Hold }); i.Answered.IsZero() || i.Video || !i.Audio {
		t.Errorf("the call is %+v", i)
	}
	d.HangUp()
}

// What cannot be taken is refused.
func TestIncomingRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		sdp    string
		want   int
	}{
		{"no codec", nil, "v=0\r\nm=audio 4000 RTP/AVP 18\r\nc=IN IP4 127.0.0.1\r\n", 488},
		{"no SDP", nil, "hello", 488},
		{"nobody takes calls", func(c *Config) { c.IncomingStream = "" }, "v=0\r\nm=audio 4000 RTP/AVP 0\r\n", 404},
		{"SIP is off", func(c *Config) { c.Enabled = false; c.Line.Listen = true }, "v=0\r\nm=audio 4000 RTP/AVP 0\r\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, tt.change)
			if tt.want == 0 {
				if port := s.line.(*line.Line).Port("udp"); port != 0 {
					t.Errorf("port %d is open", port)
				}
				return
			}
			d := s.phone().Calling("sip:yard@transponder.example", s.at())
			if r := d.Request("INVITE", "", tt.sdp); r.Code != tt.want {
				t.Errorf("answered by %d, want %d", r.Code, tt.want)
			}
			if len(s.hub.Sources()) != 0 {
				t.Error("a stream is left")
			}
		})
	}
}

// There is room for so many calls, and the caller learns when to try again.
func TestIncomingFull(t *testing.T) {
	s := open(t, func(c *Config) { c.MaxCalls = 1 })
	p := s.phone()
	c := p.Dial("sip:one@transponder.example", s.at(), phone.NewStream(t), nil)
	r := p.Calling("sip:two@transponder.example", s.at()).Request("INVITE", "", phone.Offer(phone.NewStream(t), nil))
	if r.Code != 503 || r.Header("Retry-After") == "" {
		t.Errorf("answered by\n%s", r.Raw)
	}
	c.HangUp()
}

// A phone that gives up while it rings ends the call; both of its requests are answered. The stream answers at once, so a page rings here.
func TestIncomingCancelled(t *testing.T) {
	s, page, registrar := openPhone(t)
	d, branch := page.invite(registrar, phone.Offer(phone.NewStream(t), nil))
	d.Await("180 INVITE")
	in := page.incoming(t)
	d.Cancel(branch)
	d.Await("200 CANCEL")
	d.Await("487 INVITE")
	page.final(t, in.CallID, dialog.Finish)
	if i := s.one(); i.Reason != dialog.ReasonCancelled {
		t.Errorf("the call is %+v", i)
	}
}

// An INVITE that comes a second time on another way is no second call.
func TestMergedInvite(t *testing.T) {
	s := open(t, nil)
	p := s.phone()
	c := p.Dial("sip:one@transponder.example", s.at(), phone.NewStream(t), nil)
	again := p.Calling("sip:one@transponder.example", s.at())
	again.CallID, again.Local = c.CallID, c.Local
	if r := again.Request("INVITE", "", phone.Offer(phone.NewStream(t), nil)); r.Code != 482 {
		t.Errorf("answered by %d, want 482", r.Code)
	}
	c.HangUp()
}

// Peers whom the settings name get answers to what belongs to no call.
func TestRequestsOutsideCalls(t *testing.T) {
	s := open(t, nil)
	p := s.phone()
	for method, want := range map[string]int{"OPTIONS": 200, "MESSAGE": 481, "SUBSCRIBE": 481, "BYE": 481} {
		r := p.Calling("sip:yard@transponder.example", s.at()).Request(method, "", "")
		if r.Code != want || method == "OPTIONS" && !strings.Contains(r.Header("Allow"), "INVITE") {
			t.Errorf("%s is answered by\n%s", method, r.Raw)
		}
	}
}

// Nobody else gets a byte. Whoever knows the tags of a call cannot end it from another address.
func TestStrangers(t *testing.T) {
	s := newServer(t, nil)
	p := s.phone()
	s.start(Request{CallID: "c", Callee: p.URI("bob"), Audio: true})
	c := p.Answer(phone.Plan{Audio: phone.NewStream(t)})
	s.wait("established", func(i Info) bool { return i.Status == dialog.Established })

	stranger := phone.New(t, phone.Config{Host: "127.0.0.2"})
	for _, method := range []string{"INVITE", "OPTIONS", "REGISTER", "BYE"} {
		stranger.Calling("sip:c@127.0.0.1", s.at()).Send(method, "", "")
	}
	forged := *c.Dialog
	forged.Phone = stranger
	forged.Send("BYE", "", "")
	s.waitDropped(5)
	if i := s.one(); i.Status != dialog.Established {
		t.Errorf("a stranger has ended the call: %+v", i)
	}
	if all := stranger.All(); len(all) != 0 {
		t.Errorf("the stranger was answered:\n%s", stranger.Story())
	}
	c.HangUp()
}

// waitDropped waits until the line has dropped n messages of strangers.
func (s *server) waitDropped(n int64) {
	s.t.Helper()
	testkit.Eventually(s.t, 5*time.Second, func() string {
		if s.Stats().Dropped["strangers"] < n {
			return "not yet dropped"
		}
		return ""
	})
}
