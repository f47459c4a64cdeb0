//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// Phones of the list of allowed peers dial in: each call becomes a stream named after the number that was dialled.
func TestSIPIncoming(t *testing.T) {
	t.Parallel()
	s := startSIP(t, "sip_listen=true", "sip_incoming_allow=127.0.0.1", "sip_incoming_stream=in-{user}")
	awaitUDP(t, s.sipPort, &s.log) // scripted phones do not repeat their requests
	server, err := netip.ParseAddrPort("127.0.0.1:" + s.sipPort)
	if err != nil {
		t.Fatal(err)
	}
	target := func(user string) string { return "sip:" + user + "@" + server.String() }
	together(t, map[string]func(*testing.T){
		"offer in the INVITE": func(t *testing.T) {
			k := dialledIn(t, s, "early")
			c := k.phone.Dial(target("early"), server, k.audio, k.video)
			k.judgeDialled(c)
		},
		"offer in the 200": func(t *testing.T) {
			k := dialledIn(t, s, "late")
			d := k.phone.Calling(target("late"), server)
			offer := d.Request("INVITE", "", "")
			sections := phone.ReadSDP(offer.Body)
			if offer.Code != 200 || len(sections) != 2 {
				t.Fatalf("an INVITE without SDP is answered with %d and\n%s", offer.Code, offer.Body)
			}
			k.picture.Type = 97
			d.Confirm(offer, k.describe(1, k.audio, k.video, "sendrecv"))
			k.audio.SendTo(sections[0])
			k.video.SendTo(sections[1])
			k.judgeDialled(&phone.Call{Dialog: d, AudioType: 0, VideoType: 97, Events: 101})
		},
		"repeated 200": func(t *testing.T) {
			p := phone.New(t, phone.Config{})
			d := p.Calling(target("silent"), server)
			d.Send("INVITE", "", phone.Offer(phone.NewStream(t), nil))
			answer := d.Await("200 INVITE")
			testkit.Eventually(t, 10*time.Second, func() string {
				if n := p.Count("200 INVITE"); n < 3 { // after 0.5 s and 1.5 s
					return "the 200 is not repeated"
				}
				return ""
			})
			d.Confirm(answer, "")
			d.HangUp()
		},
		"cancelled": func(t *testing.T) {
			// The same name is taken: the second call cannot have it.
			k := dialledIn(t, s, "taken")
			c := k.phone.Dial(target("taken"), server, k.audio, k.video)
			p := phone.New(t, phone.Config{})
			d := p.Calling(target("taken"), server)
			if second := d.Request("INVITE", "", phone.Offer(phone.NewStream(t), nil)); second.Code != 486 && second.Code != 480 && second.Code != 503 {
				t.Errorf("a second call with the name of a stream is answered with %d", second.Code)
			}
			c.HangUp()
		},
		"refused": func(t *testing.T) {
			p := phone.New(t, phone.Config{})
			for name, tt := range map[string]struct {
				sdp    string
				code   int
				header string
			}{
				"no codec": {phone.Describe("127.0.0.1", 1, "m=audio 4000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n"), 488, "X-Test: 1"},
				"no SDP":   {"hello", 488, "X-Test: 1"},
				"require":  {phone.Offer(phone.NewStream(t), nil), 420, "Require: teleportation"},
			} {
				d := p.Calling(target("nobody"), server)
				answer := d.Request("INVITE", "", tt.sdp, tt.header)
				if answer.Code != tt.code {
					t.Errorf("%s: %d, want %d", name, answer.Code, tt.code)
				}
				if tt.code == 420 && answer.Header("Unsupported") != "teleportation" {
					t.Errorf("the 420 does not name the option: %s", answer.Raw)
				}
			}
			d := p.Calling(target("nobody"), server)
			if answer := d.Request("OPTIONS", "", ""); answer.Code != 200 || !strings.Contains(answer.Header("Allow"), "INVITE") {
				t.Errorf("OPTIONS of an allowed peer is answered with %d and Allow %q", answer.Code, answer.Header("Allow"))
			}
			d = p.Calling(target("nobody"), server)
			if answer := d.Request("REGISTER", "", ""); answer.Code < 400 {
				t.Errorf("REGISTER is answered with %d: we are no registrar", answer.Code)
			}
			// A BYE for a call that does not exist.
			d = p.Calling(target("nobody"), server)
			d.Remote += ";tag=none"
			if answer := d.Request("BYE", "", ""); answer.Code != 481 {
				t.Errorf("BYE of no call is answered with %d, want 481", answer.Code)
			}
		},
	})
}

// dialledIn makes a phone that will dial in.
func dialledIn(t *testing.T, s *server, user string) *talk {
	t.Helper()
	return &talk{
		scene: &scene{t: t, s: s, id: "in-" + user}, phone: phone.New(t, phone.Config{}), audio: phone.NewStream(t), video: phone.NewStream(t),
		sound:   &phone.Sound{SSRC: 0x1111, Payload: phone.Tone(440, false, nil)},
		picture: &phone.Picture{SSRC: 0x2222, FPS: 25, Units: testkit.SyntheticUnits(50, 3000), Once: true},
	}
}

// judgeDialled sends media, and checks that it arrives where the stream is pushed to.
func (k *talk) judgeDialled(c *phone.Call) {
	k.t.Helper()
	k.call = c
	k.answered()
	k.receiver = testkit.NewRTMPServer(k.t, testkit.Script{})
	k.play(phone.Reports{Every: time.Second})
	testkit.Eventually(k.t, 10*time.Second, func() string {
		if code, answer := k.s.ask(k.t, "/stream/find", map[string]string{"name": k.id}); code != http.StatusOK {
			return "the stream is not found: " + answer
		}
		return ""
	})
	k.pushTo(k.receiver.URL("live"))
	k.awaitPictures(50)
	judgeTone(k.t, k.receiver.Tags())
	judgeUntouched(k.t, k.receiver.Tags(), k.picture.Sent())
	var all []struct {
		Incoming   bool   `json:"incoming"`
		StreamName string `json:"streamName"`
		Status     string `json:"status"`
	}
	_, answer := k.s.ask(k.t, "/call/find", map[string]string{"toStream": k.id})
	if err := json.Unmarshal([]byte(answer), &all); err != nil || len(all) != 1 || !all[0].Incoming || all[0].Status != "ESTABLISHED" {
		k.t.Errorf("find says %s", answer)
	}
	c.HangUp()
}
