//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// canary is a secret that must not be seen.
const canary = "caNAry5e93"

// A whole run with a secret in every place that can hold one, through success, refusal, loss and failure: nobody but the caller,
// who sent the address, is told of it. (The contract has the answers of /push/* repeat rtmpUrl.)
func TestSecretsAreKept(t *testing.T) {
	t.Parallel()
	var hooks safeBuffer
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(&hooks, r.Body)
		r.Header.Write(&hooks)
	}))
	defer hook.Close()
	s := startServer(t, "push_hook_url="+hook.URL+"/?key="+canary, "push_hook_secret="+canary, "whip_token="+canary,
		"rtmp_push_failed_keep_ms=60000")
	told := s.follow()
	s.whipToken = canary
	publishWHIP(t, s, "show")

	friendly := testkit.NewRTMPServer(t, testkit.Script{})
	refusing := testkit.NewRTMPServer(t, testkit.Script{At: "publish", Do: testkit.Refuse, Code: "NetStream.Publish.BadName", Description: "no " + canary})
	strict := testkit.NewRTMPServer(t, testkit.Script{Login: testkit.Login{Scheme: "adobe", User: "u", Password: "other"}})
	hangingUp := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.HangUp})
	nonsense := testkit.NewRTMPServer(t, testkit.Script{At: "accept", Do: testkit.TalkNonsense})
	withLogin := func(url string) string { return strings.Replace(url, "://", "://u:"+canary+"@", 1) }
	for _, tt := range []struct{ url, status string }{
		{friendly.URL("live/" + canary + "?token=" + canary), "PUBLISHING"},
		{withLogin(friendly.URL("app/?user=u&pass=" + canary)), "PUBLISHING"},
		{refusing.URL("live/" + canary), "FAILED"},
		{withLogin(strict.URL("live/" + canary)), "FAILED"},
		{hangingUp.URL("live/" + canary + "?k=" + canary), "FAILED"},
		{nonsense.URL("live/" + canary), "FAILED"},
		{strings.Replace(friendly.URL("live/"+canary), "rtmp://", "rtmps://", 1), "FAILED"},
	} {
		body := map[string]any{"streamName": "show", "rtmpUrl": tt.url, "rtmpTransponderFullUrl": true}
		if code := s.post("/push/startup", body, nil); code != http.StatusOK {
			t.Fatalf("startup to %s answers %d", tt.url, code)
		}
		testkit.Eventually(t, 15*time.Second, func() string {
			var found []push
			s.post("/push/find", map[string]string{"rtmpUrl": tt.url}, &found)
			if len(found) != 1 || found[0].Status != tt.status {
				return tt.url + " is not " + tt.status
			}
			if strings.Contains(found[0].Info, canary) {
				t.Errorf("find explains %q", found[0].Info)
			}
			return ""
		})
	}
	friendly.Kick()

	// The errors for callers who made a mistake.
	for _, bad := range []map[string]any{
		{"streamName": "nobody", "rtmpUrl": "rtmp://localhost/" + canary + "/" + canary},
		{"streamName": "show", "rtmpUrl": "rtmp://u:" + canary + "@no-such-host.invalid/live/" + canary},
		{"streamName": "show", "rtmpUrl": "rtmp://u:" + canary + "@[::1/live"},
		{"streamName": "show", "rtmpUrl": "http://" + canary + "@localhost/" + canary},
		{"streamName": "show", "rtmpUrl": "rtmp://169.254.169.254/live/" + canary},
	} {
		b, _ := json.Marshal(bad)
		resp, err := http.Post(s.rest+"/push/startup", "application/json", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode < 400 || strings.Contains(string(answer), canary) {
			t.Errorf("%s answers %d: %s", b, resp.StatusCode, answer)
		}
	}
	testkit.Eventually(t, 15*time.Second, func() string {
		if n := strings.Count(hooks.String(), `"to":"FAILED"`); n < 5 {
			return "the hook has not been told of all failures yet"
		}
		return ""
	})

	metrics := s.metrics()
	if !strings.Contains(metrics, "transponder_") {
		t.Fatalf("metrics are %.200s", metrics)
	}
	for place, text := range map[string]string{
		"log": s.log.String(), "metrics": metrics, "events": told.raw.String(), "hooks": hooks.String(),
	} {
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("the %s show it: …%s…", place, text[max(0, i-200):min(len(text), i+50)])
		}
	}
}
