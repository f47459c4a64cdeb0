//go:build e2e

package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// Calls as the REST API makes them, with phones that follow a script and with SIPp: how they begin, are refused, and end.
func TestSIPCalls(t *testing.T) {
	t.Parallel()
	s := startSIP(t)
	together(t, map[string]func(*testing.T){
		"published by themselves": func(t *testing.T) { judgeOwnPush(t, s) },
		"cancelled while ringing": func(t *testing.T) { judgeCancel(t, s) },
		"answered while cancelled": func(t *testing.T) {
			k := prepare(t, s, nil)
			invite := k.phone.Await("INVITE")
			k.phone.Reply(invite, phone.Reply{Code: 180})
			k.scene.await("RING")
			k.do("/call/terminate", nil)
			cancel := k.phone.Await("CANCEL")
			c := k.phone.Accept(invite, k.plan()) // the 200 crosses the CANCEL
			k.phone.Reply(cancel, phone.Reply{Code: 481})
			c.Await("ACK")
			k.phone.Reply(c.Await("BYE"), phone.Reply{Code: 200})
			if acks := k.phone.Count("ACK"); acks != 1 {
				t.Errorf("%d ACKs, want 1", acks)
			}
			if end := k.scene.await("FINISH"); end.Reason != "cancelled" && end.Reason != "hung_up" {
				t.Errorf("the call ended with %q", end.Reason)
			}
		},
		"cancelled before it rings": func(t *testing.T) {
			k := prepare(t, s, nil)
			invite := k.phone.Await("INVITE")
			k.do("/call/terminate", nil)
			time.Sleep(300 * time.Millisecond) // a CANCEL may not come before a provisional response (RFC 3261, 9.1)
			if n := k.phone.Count("CANCEL"); n != 0 {
				t.Errorf("%d CANCELs came before any response", n)
			}
			k.phone.Reply(invite, phone.Reply{Code: 180})
			k.phone.Reply(k.phone.Await("CANCEL"), phone.Reply{Code: 200})
			k.phone.Reply(invite, phone.Reply{Code: 487})
			k.phone.Await("ACK")
		},
		"rings twelve times": func(t *testing.T) {
			var parts []string
			parts = append(parts, sippInvite)
			for range 12 {
				parts = append(parts, sippReply("180 Ringing", ""))
			}
			parts = append(parts, sippReply("200 OK", sippSDP), sippAck, `<recv request="BYE"/>`, sippReplyWithin("200 OK"))
			p := startSIPp(t, strings.Join(parts, "\n"), 1)
			c := s.dial(t, p.uri(), nil)
			if found := c.await("ESTABLISHED"); found.SIPStatus != 200 || found.HasVideo {
				t.Errorf("the call is %+v, want 200 without video", found)
			}
			c.do("/call/terminate", nil)
			p.await()
			c.await("FINISH")
		},
		"an INVITE over 1300 bytes": func(t *testing.T) {
			long := strings.Repeat("long name ", 20)
			k := prepare(t, s, map[string]any{
				"visibleName": long, "sipLogin": strings.Repeat("alice", 45), "sipDomain": strings.Repeat(strings.Repeat("x", 60)+".", 4) + "test",
			})
			k.answer(k.plan())
			if n := len(k.call.Invite.Raw); n < 1700 || !strings.Contains(k.call.Invite.Header("From"), strings.TrimSpace(long)) {
				t.Errorf("an INVITE of %d bytes came, want more than 1700 in one datagram:\n%s", n, k.call.Invite.Raw)
			}
			k.scene.await("ESTABLISHED")
		},
		"two answers": func(t *testing.T) {
			k := prepare(t, s, nil)
			invite := k.phone.Await("INVITE")
			k.answerTwice(invite)
		},
		"refused": func(t *testing.T) { judgeRefusals(t, s) },
		"redirected": func(t *testing.T) {
			elsewhere := phone.New(t, phone.Config{})
			k := prepare(t, s, nil)
			k.phone.Reply(k.phone.Await("INVITE"), phone.Reply{Code: 302, Contact: "<" + elsewhere.URI("premium") + ">"})
			k.phone.Await("ACK")
			k.scene.await("FAILED")
			if n := len(elsewhere.All()); n != 0 {
				t.Errorf("the redirection is followed: %s", elsewhere.Story())
			}
		},
		"hung up by the phone": func(t *testing.T) {
			k := talking(t, s, nil)
			k.call.HangUp()
			if end := k.scene.await("FINISH"); end.Reason != "hung_up" {
				t.Errorf("the call ended with %q", end.Reason)
			}
			testkit.Eventually(t, 15*time.Second, func() string {
				if _, ok := k.info(); ok {
					return "the call that has ended is still found"
				}
				return ""
			})
			if code, _ := s.ask(t, "/stream/find", map[string]string{"name": k.id}); code != http.StatusNotFound {
				t.Errorf("the stream of the call is still there: %d", code)
			}
		},
	})
}

// answerTwice answers an INVITE under two tags, as a proxy does that forks (RFC 3261, 13.2.2.4): the second answer is acknowledged and hung up.
func (k *talk) answerTwice(invite *phone.Message) {
	k.t.Helper()
	k.phone.Reply(invite, phone.Reply{Code: 180})
	k.call = k.phone.Accept(invite, k.plan())
	k.answered()
	k.call.Await("ACK")
	other := phone.NewStream(k.t)
	k.phone.Reply(invite, phone.Reply{Code: 200, Tag: "fork", SDP: phone.Describe("127.0.0.1", 9, other.Section("audio", "RTP/AVP 0"),
		"m=video 0 RTP/AVP 97\r\n")})
	ack := k.call.Await("ACK")
	bye := k.call.Await("BYE")
	if ack.Tag("To") != "fork" || bye.Tag("To") != "fork" {
		k.t.Errorf("ACK and BYE go to %q and %q, want both to the fork", ack.Tag("To"), bye.Tag("To"))
	}
	k.phone.Reply(bye, phone.Reply{Code: 200})
	k.play(phone.Reports{})
	k.awaitPictures(25)
	k.await("ESTABLISHED")
}

// judgeOwnPush has a call published by itself, and starts others that collide with it.
func judgeOwnPush(t *testing.T, s *server) {
	p := startSIPp(t, "uas", 1)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	url := receiver.URL("live")
	c := s.dial(t, p.uri(), map[string]any{"rtmpUrl": url, "rtmpStream": "show", "hasVideo": "false"})
	c.await("ESTABLISHED")
	receiver.Wait(t, "publish", func() bool { return strings.Contains(strings.Join(receiver.Calls(), " "), "publish('rtmp_show')") })
	testkit.Eventually(t, 10*time.Second, func() string {
		if found, _ := c.info(); found.RTMPStreamStatus != "PUBLISHING" {
			return "the push is " + found.RTMPStreamStatus
		}
		return ""
	})
	free := c.id + "-free"
	body := map[string]any{"callee": p.uri(), "sipLogin": "alice", "sipDomain": "example.test"}
	for name, clash := range map[string]map[string]any{
		"callId":   {"callId": c.id, "toStream": free},
		"toStream": {"callId": free, "toStream": c.id},
		"pair":     {"callId": free, "toStream": free, "rtmpUrl": url, "rtmpStream": "show"},
	} {
		for key, value := range body {
			clash[key] = value
		}
		if code, answer := s.ask(t, "/call/startup", clash); code != http.StatusConflict {
			t.Errorf("a second call with the same %s: %d %s, want 409", name, code, answer)
		}
	}
	if code, _ := s.ask(t, "/call/find", map[string]string{"callId": free}); code != http.StatusNotFound {
		t.Errorf("a refused call is found: %d", code)
	}
	// The names that were refused are free: another call takes them.
	other := phone.New(t, phone.Config{})
	again := map[string]any{
		"callId": free, "toStream": free, "callee": other.URI(someone()), "sipLogin": "alice", "sipDomain": "example.test", "rtmpUrl": url,
		"rtmpStream": "other",
	}
	if code, answer := s.ask(t, "/call/startup", again); code != http.StatusOK {
		t.Errorf("a call with the names of refused ones: %d %s", code, answer)
	}
	s.ask(t, "/call/terminate", map[string]string{"callId": free})
	c.do("/call/terminate", nil)
	p.await()
}

func judgeCancel(t *testing.T, s *server) {
	scenario := strings.Join([]string{
		sippInvite, sippReply("180 Ringing", ""), `<recv request="CANCEL" crlf="true"/>`, sippReply("200 OK", ""),
		strings.ReplaceAll(sippReply("487 Request Terminated", ""), "[last_CSeq:]", "CSeq: [$n] INVITE"), sippAck,
	}, "\n")
	// The 487 answers the INVITE, whose number must be kept.
	scenario = strings.Replace(scenario, sippInvite,
		`<recv request="INVITE"><action><ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="n"/></action></recv>`, 1)
	p := startSIPp(t, scenario, 1)
	c := s.dial(t, p.uri(), nil)
	c.await("RING")
	c.do("/call/terminate", nil)
	p.await()
	c.await("FINISH")
}

// judgeRefusals has phones refuse, each in its way.
func judgeRefusals(t *testing.T, s *server) {
	scenes := map[string]func(*testing.T){}
	for _, tt := range []struct {
		code           int
		status, reason string
	}{
		{486, "BUSY", "busy"}, {600, "BUSY", "busy"}, {603, "BUSY", "rejected"}, {404, "FAILED", "not_found"}, {480, "FINISH", "no_answer"},
		{408, "FINISH", "no_answer"}, {488, "FAILED", "no_codec"}, {606, "FAILED", "no_codec"}, {500, "FAILED", "rejected"}, {699, "FAILED", "rejected"},
	} {
		scenes[strconv.Itoa(tt.code)] = func(t *testing.T) {
			k := prepare(t, s, nil)
			k.phone.Reply(k.phone.Await("INVITE"), phone.Reply{Code: tt.code})
			k.phone.Await("ACK")
			end := k.scene.await(tt.status)
			if end.Reason != tt.reason || end.SIPStatus != tt.code {
				t.Errorf("%d: the call ended with %+v", tt.code, end)
			}
		}
	}
	together(t, scenes)
}
