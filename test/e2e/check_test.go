//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// checked is the answer of /push/check.
type checked struct {
	OK    bool
	Steps []struct{ Step, Result, Reason, Info string }
}

func (c checked) String() string {
	var list []string
	for _, s := range c.Steps {
		list = append(list, s.Step+"="+s.Result)
	}
	return strings.Join(list, " ")
}

// A check says which part of an address is wrong at a real nginx, directly and behind a real stunnel, and the same from the command line. Neither
// ends the show of another encoder with the same key.
func TestCheckOfNginx(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	n := newNginx(t)
	tlsPort := testkit.FreePort(t)
	startStunnel(t, testkit.FreePort(t), "127.0.0.1:"+tlsPort, tlsPort, "127.0.0.1:"+n.port)
	publishPictures(t, s, "show", 320, 180, 30)
	const before = "name=skipped policy=ok address="
	for _, tt := range []struct {
		name, url, steps, says string
	}{
		{"a wrong application", strings.TrimSuffix(n.url(), "live") + "lvie", before + "ok tls=skipped handshake=ok connect=failed stream=ok", "asked for the application"},
		{"a wrong port", "rtmp://127.0.0.1:" + testkit.FreePort(t) + "/live", before + "failed stream=ok", "Nothing listens"},
		{"a certificate that nobody has signed", "rtmps://127.0.0.1:" + tlsPort + "/live", before + "ok tls=failed stream=ok", "The certificate is for no name"},
		{"TLS where there is none", "rtmps://127.0.0.1:" + n.port + "/live", before + "ok tls=failed stream=ok", "is rtmps:// right"},
		{"a good one", n.url(), before + "ok tls=skipped handshake=ok connect=ok publish=skipped stream=ok", "accepts the application"},
	} {
		var got checked
		if code := s.post("/push/check", map[string]any{"streamName": "show", "rtmpUrl": tt.url}, &got); code != http.StatusOK {
			t.Fatalf("%s: check answers %d", tt.name, code)
		}
		good := !strings.Contains(tt.steps, "failed")
		if got.String() != tt.steps || got.OK != good || !strings.Contains(fmt.Sprint(got.Steps), tt.says) {
			t.Errorf("%s: %v, want %s with %q", tt.name, got.Steps, tt.steps, tt.says)
		}
		var out bytes.Buffer
		doctor := exec.Command(serverBinary, "doctor", "push", tt.url)
		doctor.Stdout, doctor.Stderr = &out, &out
		err := doctor.Run()
		if code := doctor.ProcessState.ExitCode(); code != map[bool]int{true: 0, false: 1}[good] || !strings.Contains(out.String(), tt.says) {
			t.Errorf("%s: the doctor exits with %d (%v) and prints\n%s", tt.name, code, err, &out)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(n.dir, "*.flv")); len(files) > 0 {
		t.Errorf("a check without publish has published: %v", files)
	}

	// The test card arrives whole, and is over by itself.
	var got checked
	s.post("/push/check", map[string]any{"streamName": "card", "rtmpUrl": n.url(), "publish": true}, &got)
	if !got.OK || !strings.Contains(got.String(), "publish=ok media=ok") {
		t.Fatalf("with publish: %v", got.Steps)
	}
	card := filepath.Join(n.dir, "rtmp_card.flv")
	testkit.Eventually(t, 10*time.Second, func() string {
		if seconds := duration(t, card); seconds < 1.5 || seconds > 2.5 {
			return fmt.Sprintf("the test card lasts %.1f s", seconds)
		}
		return ""
	})
	judgeRecording(t, card, false)

	// A show goes on while the address is checked, and while somebody asks to publish there.
	var begun push
	if code := s.post("/push/startup", map[string]any{"streamName": "show", "rtmpUrl": n.url()}, &begun); code != http.StatusOK {
		t.Fatalf("startup answers %d", code)
	}
	s.waitFrames("show", 30)
	s.post("/push/check", map[string]any{"streamName": "show", "rtmpUrl": n.url(), "publish": true}, &got)
	if !got.OK || !strings.Contains(got.String(), "publish=skipped") {
		t.Errorf("during a push: %v", got.Steps)
	}
	s.waitFrames("show", 90)
	if now := s.waitPush("show", "PUBLISHING"); now.Attempts != 1 {
		t.Errorf("the push made %d attempts: the check has disturbed it", now.Attempts)
	}
}

// The Studio's Check, by its buttons, at a real nginx: what it says of each mistake in an address, of a good one, and of the destination of a show
// that is live, which goes on.
func TestLongStudioCheck(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	n := newNginx(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // its kernel accepts, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b := startBrowser(t, "studio-check.mjs", s.page, "--name", "show", "--rtmp", n.url())
	b.await("open")
	const bad, good = "Something is wrong", "Nothing is wrong so far"
	for _, tt := range []struct{ task, verdict, steps, says string }{
		{"check " + strings.TrimSuffix(n.url(), "live") + "lvie", bad, "Application: failed", "asked for the application"},
		{"check rtmp://127.0.0.1:" + testkit.FreePort(t) + "/live", bad, "Connection: failed", "Nothing listens"},
		{"check rtmp://nowhere.invalid/live", bad, "Name: failed", "Is it written"},
		{"check rtmp://" + silent.Addr().String() + "/live", bad, "RTMP: failed", "did not answer"},
		{"check rtmps://127.0.0.1:" + n.port + "/live", bad, "Encryption: failed", "is rtmps:// right"},
		{"check " + n.url(), good, "Name or key: skipped", "accepts the application"},
		{"card " + n.url(), "This destination works", "Name or key: ok", "test card"},
		{"live", "", "", ""},
		{"again", good, "Your stream: ok", "accepts the application"},
	} {
		b.say(tt.task)
		now := b.await("done").Displayed
		if !strings.Contains(now["verdict"], tt.verdict) || !strings.Contains(now["checked"], tt.says) || now["problem"] != "" || !strings.Contains(now["steps"], tt.steps) {
			t.Errorf("%s: the page shows %v, want %q with %q", tt.task, now, tt.verdict, tt.says)
		}
	}
	if p := s.waitPush("show", "PUBLISHING"); p.Attempts != 1 {
		t.Errorf("the check has disturbed the show: %+v", p)
	}
	b.stop()
}
