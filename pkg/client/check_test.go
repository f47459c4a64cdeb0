package client

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// The steps are told one by one while the check goes on, and the answer is that of CheckPush. An older server sends the answer alone.
func TestCheckPushSteps(t *testing.T) {
	const first = `{"step":"name","result":"ok","ms":3,"info":"Resolved."}`
	const second = `{"step":"tls","result":"failed","ms":4,"reason":"tls","info":"No TLS.","backup":1}`
	answer := `{"ok":false,"target":"rtmp://a/***","steps":[` + first + `],"findings":[],"backups":[{"ok":false,"target":"rtmp://b/***","steps":[` +
		strings.Replace(second, `,"backup":1`, "", 1) + `],"findings":[]}]}`
	heard := make(chan struct{}, 9)
	serve := func(w http.ResponseWriter, r *http.Request, lines []string) {
		if r.Header.Get("Accept") != "application/x-ndjson" || r.URL.Path != "/rest-api/push/check" {
			t.Errorf("asks for %s by %q", r.URL.Path, r.Header.Get("Accept"))
		}
		for i, line := range lines {
			_, _ = io.WriteString(w, line+"\n")
			_ = http.NewResponseController(w).Flush()
			if i < len(lines)-1 { // each step is heard before the next line is sent
				select {
				case <-heard:
				case <-r.Context().Done():
				}
			}
		}
	}
	for _, tt := range []struct {
		name  string
		lines []string
		steps []string
		err   string
	}{
		{"lines", []string{first, second, answer}, []string{"name 0", "tls 1"}, ""},
		{"an older server", []string{answer}, []string{"name 0", "tls 1"}, ""},
		{"a check that ends early", []string{first, `{"status":503,"message":"the server is stopping"}`}, []string{"name 0"}, "the server is stopping"},
		{"an answer that is cut short", []string{first, `{"ok":tr`}, []string{"name 0"}, "read the answer of /push/check"},
		{"an answer without its last line", []string{first}, []string{"name 0"}, "unexpected EOF"},
		{"something else", []string{`"hello"`}, nil, "something else than a Transponder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, tt.lines) }))
			defer srv.Close()
			var whole string
			c, err := New(srv.URL, WithAnswers(func(json []byte) { whole = string(json) }))
			if err != nil {
				t.Fatal(err)
			}
			var steps []string
			got, err := c.CheckPushSteps(t.Context(), CheckPush{RTMPURL: "rtmp://a/live"}, func(s CheckedStep) {
				steps = append(steps, fmt.Sprint(s.Step, " ", s.Backup))
				heard <- struct{}{}
			})
			for len(heard) > 0 {
				<-heard
			}
			if !slices.Equal(steps, tt.steps) {
				t.Errorf("heard %q, want %q", steps, tt.steps)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || got.OK || got.Target != "rtmp://a/***" || len(got.Backups) != 1 || got.Backups[0].Steps[0].Reason != "tls" || whole != answer {
				t.Errorf("%+v, %v, heard %s", got, err, whole)
			}
		})
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c, err := New(gone.URL + "/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CheckPushSteps(t.Context(), CheckPush{}, func(CheckedStep) {}); err == nil || Status(err) != 0 {
		t.Errorf("%v without a server", err)
	}
}
