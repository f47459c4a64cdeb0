package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// The doctor checks an address from this machine, without a server, and keeps the rules of the settings.
func TestDoctorPush(t *testing.T) {
	server := testkit.NewRTMPServer(t, testkit.Script{})
	wrong := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.Rejected"})
	closed := "127.0.0.1:" + testkit.FreePort(t)
	for _, tt := range []struct {
		name  string
		args  []string
		fails bool
		says  string
	}{
		{"a good one", []string{server.URL("live")}, false, "accepts the application"},
		{"a secret one", []string{server.URL("live/secret-key"), "--full-url", "true"}, false, "/live/***, from this machine"},
		{"a wrong application", []string{wrong.URL("live")}, true, "refused the application"},
		{"a wrong backup", []string{server.URL("live"), "--backup", wrong.URL("live")}, true, "backup 1: connect"},
		{"a good backup", []string{server.URL("live"), "--backup", server.URL("spare")}, false, "\nBackup 1 is rtmp://127.0.0.1"},
		{"a wrong port", []string{"rtmp://" + closed + "/live"}, true, "Nothing listens"},
		{"a forbidden one", []string{server.URL("live"), "--set", "push_deny_private=true"}, true, "do not let it push"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, err := run(t, "", append([]string{"doctor", "push"}, tt.args...)...)
			if (err != nil) != tt.fails || err != nil && !errors.Is(err, ErrSilent) || strings.Contains(errs, "would not work") != tt.fails {
				t.Errorf("%v, %q, want a failure: %t", err, errs, tt.fails)
			}
			if !strings.Contains(out, tt.says) || strings.Contains(out, "secret-key") {
				t.Errorf("%s does not say %q, or a secret", out, tt.says)
			}
		})
	}
	out, _, err := run(t, server.URL("live")+"\n", "doctor", "push", "-", "--json")
	var got struct {
		OK    bool
		Steps []any
	}
	if bad := json.Unmarshal([]byte(out), &got); err != nil || bad != nil || !got.OK || len(got.Steps) < 6 {
		t.Errorf("with --json it prints %q (%v)", out, err)
	}
	for _, args := range [][]string{{"http://x"}, {server.URL("live"), "--full-url", "perhaps"}, {server.URL("live"), "--publish"}} {
		if _, _, err := run(t, "", append([]string{"doctor", "push"}, args...)...); err == nil || errors.Is(err, ErrSilent) {
			t.Errorf("%v: %v, want an error", args, err)
		}
	}
}

// A destination with a name and a stream are known to the running server, which is asked.
func TestDoctorPushAsksServer(t *testing.T) {
	answer := `{"ok":true,"target":"rtmp://host/live/***","steps":[{"step":"name","result":"ok","ms":3,"info":"Resolved."}],"findings":[]}`
	for args, want := range map[string]string{
		"destination://tube": `{"rtmpUrl":"destination://tube"}`,
		"rtmp://host/live --backup rtmp://b/live --backup rtmp://c/live": `{"rtmpUrl":"rtmp://host/live","options":{"backupUrls":["rtmp://b/live","rtmp://c/live"]}}`,
		"rtmp://host/live/k --stream cam --publish --full-url true":      `{"streamName":"cam","rtmpUrl":"rtmp://host/live/k","rtmpTransponderFullUrl":true,"publish":true}`,
	} {
		url, got := answering(t, http.StatusOK, answer)
		out, _, err := run(t, "", append([]string{"doctor", "push", "--server", url}, strings.Fields(args)...)...)
		if err != nil || !strings.Contains(out, "from the running server") || len(*got) != 1 || (*got)[0].path != "/rest-api/push/check" || (*got)[0].body != want {
			t.Errorf("%s: %v, %q, asked %+v", args, err, out, *got)
		}
		for _, format := range []string{"--json=false", "--json"} {
			url, _ = answering(t, http.StatusOK, strings.Replace(answer, "true", "false", 1))
			if _, _, err := run(t, "", append([]string{"doctor", "push", format, "--server", url}, strings.Fields(args)...)...); !errors.Is(err, ErrSilent) {
				t.Errorf("%s %s: %v, want a failure", args, format, err)
			}
		}
	}
}

// Each step is printed when it comes, not at the end.
func TestDoctorPushPrintsStepsAsTheyCome(t *testing.T) {
	printed, proceed := make(chan string, 9), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"step":"address","result":"ok","ms":3,"address":"192.0.2.1:1935","info":"Reached."}`)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-proceed:
		case <-r.Context().Done():
		}
		fmt.Fprintln(w, `{"ok":true,"target":"rtmp://host/live/***","steps":[],"findings":[]}`)
	}))
	defer srv.Close()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(t.Context(), strings.Fields("doctor push destination://tube --server "+srv.URL), nil, Streams{strings.NewReader(""), heard(printed), io.Discard})
	}()
	for what, want := range []string{"OK       address        3 ms  192.0.2.1:1935: Reached.\n", "\nChecked rtmp://host/live/***, from the running server.\n"} {
		select {
		case got := <-printed:
			if got != want {
				t.Errorf("it prints %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("print %d does not come", what)
		}
		if what == 0 {
			close(proceed)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// heard hands over what is written.
type heard chan string

func (h heard) Write(p []byte) (int, error) {
	h <- string(p)
	return len(p), nil
}
