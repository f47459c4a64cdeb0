package whip

import (
	"net/http"
	"strings"
	"testing"

	"transponder/internal/rtc"
	"transponder/internal/stream"
)

// A server without room sends publishers to another one, and not those who were sent here.
func TestFullServerRedirects(t *testing.T) {
	elsewhere := "https://node-2.example.com/"
	d := openWith(t, DefaultConfig(), rtc.DefaultConfig(), Parts{Access: everybody(), Elsewhere: func() string { return elsewhere }},
		func(c *stream.Config) { c.MaxStreams = 1 })
	src, err := d.hub.Publish(stream.Info{Name: "first", ID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close(nil)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	sdp := offer("H264")
	for _, tt := range []struct {
		name, path, to string
		status         int
		location       string
	}{
		{"a publisher", "/whip/cam%20a?x=1", elsewhere, 307, "https://node-2.example.com/whip/cam%20a?redirected=true&x=1"},
		{"one that was sent here", "/whip/cam?redirected=true", elsewhere, 503, ""},
		{"nobody has room", "/whip/cam", "", 503, ""},
	} {
		elsewhere = tt.to
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+tt.path, strings.NewReader(sdp))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", typeSDP)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status || resp.Header.Get("Location") != tt.location {
			t.Errorf("%s: %d to %q, want %d to %q", tt.name, resp.StatusCode, resp.Header.Get("Location"), tt.status, tt.location)
		}
	}
}
