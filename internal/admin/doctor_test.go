package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"transponder/internal/access/auth"
	"transponder/pkg/client"
)

// The doctor reads the settings, and fails if they let strangers push.
func TestDoctorOfSettings(t *testing.T) {
	for _, tt := range []struct {
		name, set string
		pushes    bool
		says      string
	}{
		{"default", "http.port=8081", false, "access=auto"},
		{"closed", "access=closed", false, "access=closed"},
		{"open", "access=open", true, "Warning: access=open"},
		{"vendor's setting", "disable_rest_auth=true", true, "Warning: disable_rest_auth=true"},
		{"strangers who push", "anonymous=push", true, "Warning: anonymous has push"},
		{"strangers who play", "anonymous=play", false, "without a credential"},
		{"a page that may", "rest_access_control_allow_origin=https://studio.example", false, "page of an origin in the settings"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, err := run(t, "", "doctor", "access", "--offline", "--set", tt.set)
			if (err != nil) != tt.pushes || err != nil && !errors.Is(err, ErrSilent) || strings.Contains(errs, "stranger may push") != tt.pushes {
				t.Errorf("%v, %q, want that strangers may push: %v", err, errs, tt.pushes)
			}
			if !strings.Contains(out, tt.says) || !strings.Contains(out, "by the settings") {
				t.Errorf("%q does not say %q", out, tt.says)
			}
		})
	}
	out, _, err := run(t, "", "doctor", "access", "--offline", "--json")
	var report auth.Report
	if bad := json.Unmarshal([]byte(out), &report); err != nil || bad != nil || report.Mode != auth.Auto || len(report.Who) == 0 {
		t.Errorf("with --json it prints %q (%v), want a report", out, err)
	}
	if _, _, err := run(t, "", "doctor", "access", "--offline", "--set", "access=shut"); err == nil {
		t.Error("the doctor finds nothing wrong with settings that no server takes")
	}
}

// The doctor asks a running server, which knows its users.
func TestDoctorOfServer(t *testing.T) {
	answer := `{"mode":"auto","warnings":[],"who":[{"who":"stranger","action":"push","allowed":false,"words":"no"},{"who":"user ann","action":"read","allowed":true,"words":"all streams"}]}`
	url, got := answering(t, http.StatusOK, answer)
	out, _, err := run(t, "", "doctor", "access", "--server", url)
	if err != nil || !strings.Contains(out, "user ann") || !strings.Contains(out, "by the running server") {
		t.Errorf("%q, %v", out, err)
	}
	if len(*got) != 1 || (*got)[0].path != "/rest-api/access/report" || (*got)[0].method != http.MethodGet {
		t.Errorf("it asked %+v", *got)
	}
	url, _ = answering(t, http.StatusOK, strings.Replace(answer, `"push","allowed":false`, `"push","allowed":true`, 1))
	for _, format := range []string{"--json=false", "--json"} {
		if _, _, err := run(t, "", "doctor", "access", "--server", url, format); !errors.Is(err, ErrSilent) {
			t.Errorf("%s: %v, want a failure", format, err)
		}
	}
	url, _ = answering(t, http.StatusUnauthorized, `{"message":"a password is needed"}`)
	var answered *client.Error
	if _, _, err := run(t, "", "doctor", "access", "--server", url); !errors.As(err, &answered) {
		t.Errorf("%v, want the answer of the server", err)
	}
}
