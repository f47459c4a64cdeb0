//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// The requests of docs/sip.md work as they stand, in order, with a running server and a phone that answers each call.
func TestSIPDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/sip.md")
	if err != nil {
		t.Fatal(err)
	}
	media := t.TempDir()
	writeWAV(t, filepath.Join(media, "welcome.wav"), 8000, 1000, time.Second)
	s := startServer(t, "sip_port="+strconv.Itoa(testkit.FreePorts(t, 2)), "media_dir="+media)
	publishTone(t, s, "name", 700)
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	p := phone.New(t, phone.Config{})
	places := strings.NewReplacer("sip.example.com", p.Addr().String(), "meet.example.com;transport=tls", p.Addr().String(),
		"rtmp://localhost:1935/live", receiver.URL("live"))

	calls := regexp.MustCompile("(?s)curl -i http://localhost:8081/rest-api(\\S+) -d '(.*?)'\n```\n\n```http\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(calls) < 8 {
		t.Fatalf("only %d requests found in the document", len(calls))
	}
	for _, call := range calls {
		var body map[string]any
		if err := json.Unmarshal([]byte(places.Replace(call[2])), &body); err != nil {
			t.Fatalf("%s: %v", call[2], err)
		}
		var found []map[string]any
		answer := any(nil)
		if strings.HasSuffix(call[1], "/find") {
			answer = &found
		}
		if code := s.post(call[1], body, answer); code != http.StatusOK {
			t.Fatalf("%s %v answers %d", call[1], body, code)
		}
		switch call[1] {
		case "/call/startup":
			answerCall(t, s, p, body["callId"])
			if name, pushed := body["rtmpStream"]; pushed {
				awaitCard(t, s, fmt.Sprint("rtmp_", name))
			}
		case "/call/find":
			compareMembers(t, call[3], found)
		}
	}
}

// The trunk of docs/sip.md takes calls: by the settings that it shows, behind a Kamailio with the lines that it shows.
func TestSIPDocumentTrunk(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/sip.md")
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile("(?s)```properties\n(sip_listen=true\nsip_incoming_allow=192.0.2.10\n.*?)```").FindSubmatch(text)
	route := regexp.MustCompile(`(?s)` + "```text\n" + `(if \(is_method\("INVITE"\).*?)` + "```").FindSubmatch(text)
	if settings == nil || route == nil {
		t.Fatal("the document shows no trunk")
	}
	s := startSIP(t, strings.Fields(strings.Replace(string(settings[1]), "192.0.2.10", "127.0.0.1", 1))...)
	awaitUDP(t, s.sipPort, &s.log)
	k := startKamailioWith(t, strings.Replace(string(route[1]), "203.0.113.7:5060", "127.0.0.1:"+s.sipPort, 1))
	p := phone.New(t, phone.Config{})
	to := "sip:7000@127.0.0.1:" + k.port
	call := p.Dial(to, p.PeerOf(to), phone.NewStream(t), phone.NewStream(t))
	testkit.Eventually(t, 5*time.Second, func() string { // the ACK takes its way through the proxy
		var found []struct {
			Incoming                           bool
			Status, Caller, Callee, StreamName string
		}
		if code := s.post("/call/find_all", struct{}{}, &found); code != http.StatusOK || len(found) != 1 {
			return fmt.Sprintf("find_all answers %d %+v", code, found)
		}
		if c := found[0]; !c.Incoming || c.Status != "ESTABLISHED" || c.StreamName != "phone-"+c.Caller || c.Callee != "7000" {
			return fmt.Sprintf("the call is %+v", c)
		}
		return ""
	})
	call.HangUp()
}

// answerCall answers the call with sound and pictures, and waits until the server has noticed.
func answerCall(t *testing.T, s *server, p *phone.Phone, id any) {
	t.Helper()
	audio, video := phone.NewStream(t), phone.NewStream(t)
	call := p.Answer(phone.Plan{Audio: audio, Video: video})
	t.Cleanup(audio.Play(&phone.Sound{Type: call.AudioType, SSRC: 1, Payload: phone.Tone(440, false, nil)}, phone.Reports{}))
	if call.VideoType != 0 {
		t.Cleanup(video.Play(&phone.Picture{Type: call.VideoType, SSRC: 2, FPS: 25, Units: testkit.SyntheticUnits(50, 1000)}, phone.Reports{}))
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		var found []struct {
			Status          string
			PacketsReceived int
		}
		if code := s.post("/call/find", map[string]any{"callId": id}, &found); code != http.StatusOK {
			return fmt.Sprintf("call %v: find answers %d", id, code)
		}
		if found[0].Status != "ESTABLISHED" || found[0].PacketsReceived == 0 {
			return fmt.Sprintf("call %v is %+v", id, found[0])
		}
		return ""
	})
}

// awaitCard waits until a push of sound alone is live, with a picture.
func awaitCard(t *testing.T, s *server, name string) {
	t.Helper()
	testkit.Eventually(t, 15*time.Second, func() string {
		var found []struct {
			Status      string
			Width       int
			VideoFrames int `json:"videoFramesSent"`
		}
		if code := s.post("/push/find", map[string]any{"streamName": name}, &found); code != http.StatusOK {
			return fmt.Sprintf("push %s: find answers %d", name, code)
		}
		if found[0].Status != "PUBLISHING" || found[0].VideoFrames == 0 {
			return fmt.Sprintf("push %s is %+v", name, found[0])
		}
		return ""
	})
}

// compareMembers checks that a call has the members that the document shows, with values of the same types.
func compareMembers(t *testing.T, shown string, found []map[string]any) {
	t.Helper()
	_, list, _ := strings.Cut(shown, "\n\n")
	var want []map[string]any
	if err := json.Unmarshal([]byte(list), &want); err != nil || len(want) != 1 || len(found) != 1 {
		t.Fatalf("%d calls are shown and %d found: %v", len(want), len(found), err)
	}
	for name, value := range want[0] {
		got, there := found[0][name]
		if !there || fmt.Sprintf("%T", got) != fmt.Sprintf("%T", value) {
			t.Errorf("%s = %v (%T), but the document shows %v", name, got, got, value)
		}
	}
	if len(found[0]) > len(want[0])+1 { // nodeId, which names this run of the server
		t.Errorf("the document does not show all of %v", found[0])
	}
}
