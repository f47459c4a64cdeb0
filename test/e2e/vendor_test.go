//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"transponder/internal/testkit"
	"transponder/internal/testkit/phone"
)

// Pages of the vendor's SDK, which know nothing of this server's own events: one hears in the documented words that its push was
// refused, where the settings say so; and none leaves anything behind by going away, though it asked to be kept.
func TestVendorPages(t *testing.T) {
	t.Parallel()
	s := startServer(t, "rtmp_push_fail_stream=true", "ws_max_kept_sessions=1")
	refusing := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName"})
	b := startBrowser(t, "vendor-pages.mjs", s.page, "--socket", s.socket, "--rtmp", refusing.URL("live"))
	if got, want := b.await("refused").Displayed["told"], "PUBLISHING, FAILED Failed by RTMP writer error"; got != want {
		t.Errorf("the page of the refused push heard %q, want %q", got, want)
	}
	for range 4 {
		left := b.await("left").Displayed
		if ms, err := strconv.Atoi(left["ms"]); err != nil || ms > 3000 {
			t.Errorf("%s: the session was there for %s ms more", left["way"], left["ms"])
		}
	}
	b.stop()
}

// The vendor's pages that call, by their buttons: they call each other, without a SIP server.
func TestVendorCalls(t *testing.T) {
	t.Parallel()
	s := startServer(t, "enable_local_videochat=true")
	startCallPages(t, s, "--domain", "localhost").await("done")
}

func startCallPages(t *testing.T, s *server, args ...string) *browser {
	t.Helper()
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		args = append(args, "--screenshots", folder)
	}
	return startBrowser(t, "vendor-calls.mjs", append([]string{s.socket}, args...)...)
}

// The same pages as phones of a SIP server: they call a phone there, with pictures, hold it, and send it a digit. It calls them, and is
// transferred from one page to another.
func TestVendorSIPCalls(t *testing.T) {
	t.Parallel()
	k := startKamailio(t)
	bob := startBaresip(t, baresipConfig{domain: "127.0.0.1:" + k.port, account: ";auth_pass=1234;regint=40", hears: true})
	k.awaitRegistered("bob", 1)
	s := startServer(t, "sip_port="+strconv.Itoa(testkit.FreePorts(t, 2)))
	pages := startCallPages(t, s, "--domain", "127.0.0.1", "--port", k.port)
	pages.await("call")
	bob.await("CALL_CLOSED", 1)
	if digit := bob.await("CALL_DTMF_START", 1); digit.Param != "5" {
		t.Errorf("the phone was sent the digit %q, want 5", digit.Param)
	}
	testkit.Eventually(t, 10*time.Second, func() string { // it closes its recording a moment later
		samples, _ := sound(t, bob.heard())
		if !slices.ContainsFunc(samples, func(v float32) bool { return v > 0.05 }) {
			return fmt.Sprintf("in %d samples the phone heard nothing of the page", len(samples))
		}
		return ""
	})
	bob.do("dial", "sip:3000@127.0.0.1:"+k.port)
	pages.await("transferred")
	bob.do("hangup", "")
	pages.await("done")
	if strings.Contains(s.log.String(), "1234") {
		t.Error("the password is in the log")
	}
}

// The vendor's pages that have the server call a phone over REST, by their buttons: the phone's stream is pushed, by a request of its own or
// with the call; the phone gets digits and another stream; and the pages notice the end.
func TestVendorSIPPages(t *testing.T) {
	t.Parallel()
	s := startServer(t, "sip_port="+strconv.Itoa(testkit.FreePorts(t, 2)))
	receiver := testkit.NewRTMPServer(t, testkit.Script{})
	p := phone.New(t, phone.Config{})
	b := startBrowser(t, "vendor-sip.mjs", s.rest, "--phone", p.Addr().String(), "--rtmp", receiver.URL("live"))
	publishTone(t, s, "music", 700)
	for i := range 3 {
		b.await("calling")
		audio, video := phone.NewStream(t), phone.NewStream(t)
		call := p.Answer(phone.Plan{Audio: audio, Video: video})
		stopSound := audio.Play(&phone.Sound{Type: call.AudioType, SSRC: 1, Payload: phone.Tone(440, false, nil)}, phone.Reports{})
		stopPicture := video.Play(&phone.Picture{Type: call.VideoType, SSRC: 2, FPS: 25, Units: testkit.SyntheticUnits(50, 1000)}, phone.Reports{})
		before := len(receiver.Tags())
		b.await("live")
		receiver.Wait(t, "pictures and sound", func() bool {
			tags := receiver.Tags()[before:]
			return slices.ContainsFunc(tags, func(tag testkit.Tag) bool { return tag.Video && !tag.Header }) &&
				slices.ContainsFunc(tags, func(tag testkit.Tag) bool { return !tag.Video && !tag.Header })
		})
		if want := fmt.Sprintf("publish('rtmp_phone%d')", i); !slices.Contains(receiver.Calls(), want) {
			t.Errorf("the RTMP server got %q, want %s among them", receiver.Calls(), want)
		}
		b.say("go on")
		switch i {
		case 0:
			b.await("dialled")
			audio.Wait("the digits 12#", func() bool { return len(phone.Digits(audio.Packets(), call.Events)) == 3 })
			b.say("go on")
		case 2:
			b.await("injected")
			audio.Wait("the tone of the other stream", func() bool {
				packets := audio.Packets()
				hz, level := phone.Pitch(phone.PCM(packets[max(0, len(packets)-25):]), 8000)
				return level > 0.2 && hz > 690 && hz < 710
			})
			b.say("go on")
		}
		p.Reply(call.Await("BYE"), phone.Reply{Code: 200})
		stopSound()
		stopPicture()
	}
	b.await("done")
}

// RestApi in a page of another server: with a login it works where that page is named, also where no login is wanted; where it is not
// named, the error says which setting that is.
func TestRestApiFromElsewhere(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><link rel=icon href=data:,><title>Elsewhere</title>")
	}))
	defer page.Close()
	elsewhere := strings.Replace(page.URL, "127.0.0.1", "elsewhere.test", 1) // a name that only the browser knows
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, append([]byte("ann:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	named, guarded := "rest_access_control_allow_origin="+elsewhere, []string{"disable_rest_auth=false", "rest_users_file=" + users}
	for _, tt := range []struct {
		name               string
		settings           []string
		right, wrong, none string
	}{
		{"named", append([]string{named}, guarded...), "0 pushes", "unauthorized: ", "unauthorized: "},
		{"named, no login wanted", []string{named, "disable_rest_auth=true"}, "0 pushes", "0 pushes", "0 pushes"},
		{"named, and on this machine", []string{named}, "unauthorized: ", "unauthorized: ", "0 pushes"},
		{"not named", guarded, "unreachable: ", "unreachable: ", "unreachable: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t, tt.settings...)
			b := startBrowser(t, "rest-elsewhere.mjs", s.page, "--page", elsewhere, "--user", "ann", "--password", "secret")
			got := b.await("done").Displayed
			for which, want := range map[string]string{"right": tt.right, "wrong": tt.wrong, "none": tt.none} {
				if !strings.HasPrefix(got[which], want) || strings.HasPrefix(want, "unreachable") && !strings.HasSuffix(got[which], "rest_access_control_allow_origin lacks "+elsewhere) {
					t.Errorf("a login that is %s: %q, want %q", which, got[which], want)
				}
			}
			b.stop()
		})
	}
}
