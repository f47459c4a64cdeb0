package rest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

var someStats = Stats{
	WebSockets: 3, RTMPConnections: 2, WebRTCIn: 4, WebRTCOut: 5, RTMPIn: 1, RTMPOut: 6, Viewers: 7,
	MediaPortsFree: 8, MediaPortsBusy: 9,
}

func newStatServer(t *testing.T) *httptest.Server {
	t.Helper()
	h, err := Stat(DefaultConfig(), nil, func() Stats { return someStats })
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func getStat(t *testing.T, srv *httptest.Server, query string) (body, contentType string) {
	t.Helper()
	r := newRequest(t, srv, http.MethodGet, "/?action=stat"+query, "")
	r.Header.Set("Origin", "http://127.0.0.1:3000") // a page of the same host
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("stat = %d, %v", resp.StatusCode, err)
	}
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "http://127.0.0.1:3000" {
		t.Errorf("Access-Control-Allow-Origin = %q, want the page's origin", got)
	}
	return string(b), resp.Header.Get("Content-Type")
}

// TestStatText parses the text as the Web SDK does, and checks that everything is there that its console shows.
func TestStatText(t *testing.T) {
	body, ct := getStat(t, newStatServer(t), "&preventCache=Wed%20Nov%2015%202023")
	if ct != "text/plain;charset=UTF-8" {
		t.Errorf("content type = %q", ct)
	}
	header := regexp.MustCompile(`-+([A-z]+) *`)
	got := map[string]string{}
	group := ""
	for line := range strings.SplitSeq(body, "\n") {
		if strings.HasPrefix(line, "-") {
			group = strings.ToLower(header.FindStringSubmatch(line)[1])
			continue
		}
		if group == "" {
			t.Fatalf("line %q comes before any headline", line)
		}
		if key, value, ok := strings.Cut(line, "="); ok {
			got[group+"."+key] = value
		}
	}
	for key, want := range map[string]string{
		"connection.connections":           "5",
		"connection.connections_websocket": "3",
		"stream.streams_webrtc_in":         "4",
		"stream.streams_webrtc_out":        "5",
		"stream.streams_rtmp_in":           "1",
		"stream.streams_rtmp_out":          "6",
		"stream.streams_rtsp_in":           "0",
		"stream.streams_rtsp_out":          "0",
		"stream.streams_rtmfp_in":          "0",
		"stream.streams_rtmfp_out":         "0",
		"stream.streams_viewers":           "7",
		"port.ports_media_free":            "8",
		"port.ports_media_busy":            "9",
		"port.ports_media_quarantine":      "0",
	} {
		if got[key] != want {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
	for _, key := range []string{
		"system.system_java_cpu_usage", "system.system_memory_total", "system.system_memory_free", "core.core_threads",
	} {
		if got[key] == "" {
			t.Errorf("%s is missing", key)
		}
	}
}

func TestStatJSON(t *testing.T) {
	srv := newStatServer(t)
	tests := []struct {
		groups string
		want   []string
	}{
		{"", []string{"connections_stats", "port_stats", "streams_stats", "system_stats", "core_stats", "transcoding_stats"}},
		{"transcoding_stats", []string{"transcoding_stats"}},
		{"connections_stats,streams_stats", []string{"connections_stats", "streams_stats"}},
		{"nothing", nil},
	}
	for _, tt := range tests {
		body, ct := getStat(t, srv, "&format=json&groups="+tt.groups)
		if ct != contentType {
			t.Errorf("content type = %q", ct)
		}
		var got map[string]map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(tt.want) {
			t.Errorf("groups %q = %v, want %q", tt.groups, got, tt.want)
		}
		for _, name := range tt.want {
			if got[name] == nil {
				t.Errorf("group %s is missing in %v", name, got)
			}
		}
		if c, ok := got["connections_stats"]; ok && c["connections"] != 5.0 {
			t.Errorf("connections = %v, want 5", c["connections"])
		}
	}
}

func TestProcessorUse(t *testing.T) {
	var m processMeter
	start := time.Now()
	cores := time.Duration(runtime.NumCPU())
	for _, step := range []struct {
		after, used time.Duration
		want        float64
	}{
		{0, time.Second, 0},                 // the first reading
		{cpuWindow / 2, 9 * time.Second, 0}, // too soon
		{4 * time.Second, time.Second + 2*cores*time.Second, 50},
		{8 * time.Second, time.Second + 3*cores*time.Second, 25},
	} {
		if got := m.cpu(start.Add(step.after), step.used); got != step.want {
			t.Errorf("use after %v = %v, want %v", step.after, got, step.want)
		}
	}
	if total, free := memory(); runtime.GOOS == "linux" && (total <= 0 || free <= 0 || free > total) {
		t.Errorf("memory = %d, %d free", total, free)
	}
	if threads() <= 0 {
		t.Error("there are no threads")
	}
}
