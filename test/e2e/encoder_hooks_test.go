//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/internal/hook"
	"transponder/internal/testkit"
	"transponder/internal/testkit/appserver"
)

// TestEncodersWithBackend: a customer's application server decides about FFmpeg and a WHIP client that have no token of ours. It gives the stream
// of FFmpeg another name and a destination, and the show goes on when it dies.
func TestEncodersWithBackend(t *testing.T) {
	t.Parallel()
	b := appserver.Start(t)
	b.Answer = func(c appserver.Call, answer map[string]any) int {
		custom, _ := c.Body["custom"].(map[string]any)
		switch {
		case c.Method == hook.Connect && custom["pass"] != "word" && custom["token"] != "ticket":
			return http.StatusForbidden
		case c.Method == hook.Connect:
			answer["restClientConfig"] = appserver.Rules(hook.PublishStream, map[string]any{"restPolicy": "OVERWRITE", "restOverwrite": "name,rtmpUrl", "restOnError": "FAIL"})
		case c.Method == hook.PublishStream && c.Text("name") == "forbidden":
			return http.StatusForbidden
		case c.Method == hook.PublishStream && c.Text("name") == "show":
			answer["name"], answer["rtmpUrl"] = "hidden-7", "destination://main"
		}
		return http.StatusOK
	}
	s := startServer(t, "access=closed", "token_secret="+tokenSecret)
	target, records := startNginx(t)
	s.asAdmin(t, "/destination/create", map[string]any{"name": "main", "rtmpUrl": target}, nil)
	for _, app := range []string{"defaultApp", "flashStreamingApp"} {
		s.asAdmin(t, "/app/update", map[string]any{"name": app, "url": b.URL()}, nil)
	}

	publish := func(query, name string, more ...string) *exec.Cmd {
		args := append(strings.Fields("-hide_banner -v error -re -f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine -c:v libx264 -preset ultrafast "+
			"-tune zerolatency -g 30 -pix_fmt yuv420p -c:a aac -f flv"), more...)
		return exec.Command("ffmpeg", append(args, "-rtmp_app", "live"+query, "-rtmp_playpath", name, s.rtmp)...)
	}
	for query, name := range map[string]string{"?pass=wrong": "show", "?pass=word": "forbidden"} {
		if out, err := publish(query, name, "-t", "2").CombinedOutput(); err == nil || !strings.Contains(string(out), "Restricted access") {
			t.Errorf("%s as %s: %v %s", name, query, err, out)
		}
	}
	cmd := publish("?pass=word", "show")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	find := func(method string) string {
		_, _, answer := bearer(t, http.MethodPost, s.rest+method, ticket(t, "boss", grant{Actions: []string{"admin"}, Streams: []string{"*"}}, nil), "application/json", "{}")
		return answer
	}
	recording := filepath.Join(records, "main.flv")
	size := func() int64 {
		all, _ := filepath.Glob(filepath.Join(records, "*.flv"))
		if len(all) == 1 {
			recording = all[0]
		}
		i, err := os.Stat(recording)
		if err != nil {
			return 0
		}
		return i.Size()
	}
	testkit.Eventually(t, 20*time.Second, func() string {
		if n := size(); n < 100_000 {
			return fmt.Sprintf("%d bytes are recorded; pushes: %s", n, find("/push/find_all"))
		}
		return ""
	})
	if all := find("/stream/find_all"); !strings.Contains(all, `"hidden-7"`) || strings.Contains(all, `"show"`) || !strings.Contains(all, `"flashStreamingApp"`) {
		t.Errorf("the streams are %s", all)
	}
	if all := find("/push/find_all"); !strings.Contains(all, "destination://main") {
		t.Errorf("the pushes are %s", all)
	}

	ctx, cancel := context.WithCancel(context.Background())
	p := testkit.NewPublisher(testkit.DefaultPublisherConfig())
	ended := make(chan error, 1)
	go func() {
		ended <- p.Run(ctx, func(_ context.Context, offer string) (string, error) {
			if status, _, answer := bearer(t, http.MethodPost, s.whipURL("page"), "wrong", "application/sdp", offer); status != http.StatusForbidden {
				t.Errorf("WHIP with a wrong ticket: %d %s", status, answer)
			}
			status, _, answer := bearer(t, http.MethodPost, s.whipURL("page"), "ticket", "application/sdp", offer)
			if status != http.StatusCreated {
				return "", fmt.Errorf("%d %s", status, answer)
			}
			return answer, nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-p.Connected():
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	testkit.Eventually(t, 10*time.Second, func() string {
		told := map[string]bool{}
		for _, name := range appserver.Names(b.Calls()) {
			told[name] = true
		}
		for _, name := range []string{"publishStream:NEW", "publishStream:PENDING", "StreamStatusEvent:PUBLISHING", "ConnectionStatusEvent:ESTABLISHED"} {
			if !told[name] {
				return fmt.Sprintf("the backend got %v", appserver.Names(b.Calls()))
			}
		}
		return ""
	})

	b.Stop()
	before := size()
	testkit.Eventually(t, 20*time.Second, func() string {
		if n := size(); n < before+100_000 {
			return fmt.Sprintf("without its backend the push has got to %d bytes from %d", n, before)
		}
		return ""
	})
	if out, err := publish("?pass=word", "other", "-t", "2").CombinedOutput(); err == nil || !strings.Contains(string(out), "Restricted access") {
		t.Errorf("without the backend a newcomer: %v %s", err, out)
	}
	for _, secret := range []string{"pass=word", "ticket"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}
