package admin

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"transponder/internal/testkit"
)

// The doctor checks an address from this machine, without a server, and keeps the rules of the settings.
func TestDoctorPush(t *testing.T) {
	server := testkit.NewRTMPServer(t, testkit.Script{})
	wrong := testkit.NewRTMPServer(t, testkit.Script{At: "connect", Do: testkit.Refuse, Code: "NetConnection.Connect.Rejected"})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, tt := range []struct {
		name  string
		args  []string
		fails bool
		says  string
	}{
		{"a good one", []string{server.URL("live")}, false, "accepts the application"},
		{"a secret one", []string{server.URL("live/secret-key"), "--full-url", "true"}, false, "/live/***, from this machine"},
		{"a wrong application", []string{wrong.URL("live")}, true, "refused the application"},
		{"a wrong port", []string{"rtmp://" + closed.Addr().String() + "/live"}, true, "Nothing listens"},
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
		"destination://tube": `{"publish":false,"rtmpUrl":"destination://tube"}`,
		"rtmp://host/live/k --stream cam --publish --full-url true": `{"publish":true,"rtmpTransponderFullUrl":true,"rtmpUrl":"rtmp://host/live/k","streamName":"cam"}`,
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
