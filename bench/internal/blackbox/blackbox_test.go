package blackbox

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transponder/bench/internal/loadgen"
	"transponder/bench/internal/sink"
)

func TestPushIsTold(t *testing.T) {
	snk, err := sink.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		status  int
		pushes  int
		rtmpURL string
		want    string // body; {sink} is the sink's address
		wantErr string
	}{
		{"taken", 200, 1, "rtmp://{sink}/live", `{"streamName":"","rtmpUrl":"rtmp://{sink}/live"}`, ""},
		{"named", 204, 1, "rtmp://{sink}/live/{i}", `{"streamName":"","rtmpUrl":"rtmp://{sink}/live/0"}`, ""},
		{
			"twice", 200, 2, "rtmp://{sink}/{k}",
			`{"streamName":"","rtmpUrl":"rtmp://{sink}/0"} {"streamName":"","rtmpUrl":"rtmp://{sink}/1"}`, "",
		},
		{"refused", 409, 1, "rtmp://{sink}/live", `{"streamName":"","rtmpUrl":"rtmp://{sink}/live"}`, "409 Conflict: no room"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var token string
			var bodies []string
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				bodies, token = append(bodies, string(b)), r.Header.Get("Authorization")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, "no room")
			}))
			defer api.Close()
			cfg := DefaultConfig()
			cfg.PushURL, cfg.PushToken, cfg.RTMPURL, cfg.Pushes = api.URL, "secret", test.rtmpURL, test.pushes
			m := &measurement{cfg: cfg, sink: snk, report: &Report{}}
			m.push(t.Context(), &loadgen.Publisher{})

			body := strings.Join(bodies, " ")
			if want := strings.ReplaceAll(test.want, "{sink}", snk.Addr()); body != want || token != "Bearer secret" {
				t.Errorf("got %s with token %q, want %s", body, token, want)
			}
			errs := strings.Join(m.report.Errors, "; ")
			if (test.wantErr == "") != (errs == "") || !strings.Contains(errs, test.wantErr) {
				t.Errorf("errors %q, want %q", errs, test.wantErr)
			}
		})
	}
}

func TestServerThatEndsIsNoticed(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Command = []string{"/bin/sh", "-c", "echo no such key; exit 3"}
	cfg.Log = filepath.Join(t.TempDir(), "log")
	s, err := startServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ports, err := FreePorts("tcp", 1)
	if err != nil {
		t.Fatal(err)
	}
	err = s.awaitReady(ctx, fmt.Sprintf("127.0.0.1:%d", ports[0]))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want the server's exit status", err)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stop of a server that has ended: %v", err)
	}
}
