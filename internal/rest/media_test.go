package rest

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/transcode/mediafile"
	sdk "transponder/pkg/client"
)

// sound is a WAV file of a tenth of a second.
func sound() string {
	const head = "RIFF\xc4\x06\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x40\x06\x00\x00"
	return head + strings.Repeat("\x00", 1600)
}

// people by their tokens: who may do what with the folder.
func mediaPeople() map[string]*access.Principal {
	holder := func(id string, streams string, actions ...access.Action) *access.Principal {
		return &access.Principal{Kind: access.User, ID: id, Grants: []access.Grant{{Actions: actions, Streams: []string{streams}, Destinations: []string{"*"}}}}
	}
	return map[string]*access.Principal{
		"operator": holder("operator", "*", access.Read, access.Control, access.Push),
		"tenant":   holder("tenant", "acme/*", access.Read, access.Control, access.Push),
		"speaker":  holder("speaker", "cam", access.Publish, access.Push),
		"viewer":   holder("viewer", "*", access.Play),
		"watchman": holder("watchman", "*", access.Read),
	}
}

func newMediaServer(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	return serve(t, DefaultConfig(), Parts{
		Media:  mediafile.New(dir),
		Access: byToken{auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{}, log), mediaPeople()},
	})
}

func TestMedia(t *testing.T) {
	srv := newMediaServer(t, t.TempDir())
	by := func(who string) *sdk.Client {
		t.Helper()
		c, err := sdk.New(srv.URL, sdk.WithToken(who))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	put := func(who, name, content string, replace bool) int {
		t.Helper()
		_, err := by(who).UploadMedia(t.Context(), name, strings.NewReader(content), replace)
		return answered(t, err)
	}
	for _, tt := range []struct {
		who, name, content string
		replace            bool
		want               int
	}{
		{"operator", "jingle.wav", sound(), false, 200},
		{"operator", "jingle.wav", sound(), false, 409},
		{"operator", "jingle.wav", sound(), true, 200},
		{"operator", "bad.wav", "no sound", false, 400},
		{"operator", "a/b.wav", sound(), false, 400},
		{"operator", "", sound(), false, 400},
		{"tenant", "mine.wav", sound(), false, 403}, // the folder is everybody's
		{"speaker", "mine.wav", sound(), false, 403},
		{"watchman", "mine.wav", sound(), false, 403},
		{"nobody", "mine.wav", sound(), false, 401},
	} {
		if got := put(tt.who, tt.name, tt.content, tt.replace); got != tt.want {
			t.Errorf("%s uploads %q: %d, want %d", tt.who, tt.name, got, tt.want)
		}
	}
	for who, want := range map[string]int{"operator": 200, "tenant": 200, "speaker": 200, "viewer": 403, "watchman": 403, "nobody": 401} {
		list, err := by(who).FindAllMedia(t.Context())
		if got := answered(t, err); got != want {
			t.Errorf("%s lists: %d, want %d", who, got, want)
		} else if want == 200 && (len(list.Files) != 1 || list.Files[0].DurationMs != 100 || list.Change != (who == "operator")) {
			t.Errorf("%s gets %+v", who, list)
		}
		content, err := by(who).DownloadMedia(t.Context(), "jingle.wav")
		if got := answered(t, err); got != want {
			t.Errorf("%s downloads: %d, want %d", who, got, want)
		} else if want == 200 {
			if b, err := io.ReadAll(content); err != nil || string(b) != sound() {
				t.Errorf("%s gets %d bytes, %v", who, len(b), err)
			}
			content.Close()
		}
	}
	for _, tt := range []struct {
		who, name string
		want      int
	}{{"speaker", "jingle.wav", 403}, {"tenant", "jingle.wav", 403}, {"operator", "../jingle.wav", 404}, {"operator", "jingle.wav", 200}, {"operator", "jingle.wav", 404}} {
		if got := answered(t, by(tt.who).RemoveMedia(t.Context(), tt.name)); got != tt.want {
			t.Errorf("%s removes %q: %d, want %d", tt.who, tt.name, got, tt.want)
		}
	}
	if _, err := by("operator").DownloadMedia(t.Context(), "jingle.wav"); answered(t, err) != 404 {
		t.Errorf("a file that was removed: %v", err)
	}
}

// answered returns the status of an answer of the client.
func answered(t *testing.T, err error) int {
	t.Helper()
	var refused *sdk.Error
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &refused):
		return refused.Status
	}
	t.Errorf("no answer: %v", err)
	return 0
}

// What somebody has uploaded never runs as a page of this server, whatever it is called.
func TestMediaHeaders(t *testing.T) {
	srv := newMediaServer(t, t.TempDir())
	up := newRequest(t, srv, http.MethodPost, "/rest-api/media/upload?name=a.wav", "")
	up.Body, up.ContentLength = io.NopCloser(strings.NewReader(sound())), int64(len(sound()))
	up.Header.Set("Authorization", "Bearer operator")
	up.Header.Set("Content-Type", "audio/wav")
	send(t, srv, up).wantStatus(t, http.StatusOK)

	r := newRequest(t, srv, http.MethodGet, "/rest-api/media/download?name=a.wav", "")
	r.Header.Set("Authorization", "Bearer speaker")
	r.Header.Set("Range", "bytes=0-3")
	got, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode != http.StatusPartialContent || string(body) != "RIFF" {
		t.Errorf("a range: %d %q %v", got.StatusCode, body, err)
	}
	for name, want := range map[string]string{"Content-Type": "audio/wav", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"} {
		if is := got.Header.Get(name); is != want {
			t.Errorf("%s is %q, want %q", name, is, want)
		}
	}
}

// Forms, compressed bodies and bodies that are cut off or too long are refused, in words, and leave nothing.
func TestUploadRefused(t *testing.T) {
	dir := t.TempDir()
	srv := newMediaServer(t, dir)
	ask := func(query, kind, coding string, body io.Reader) reply {
		t.Helper()
		r := newRequest(t, srv, http.MethodPost, "/rest-api/media/upload?"+query, "")
		r.Body, r.ContentLength = io.NopCloser(body), -1
		r.Header.Set("Authorization", "Bearer operator")
		r.Header.Set("Content-Type", kind)
		if coding != "" {
			r.Header.Set("Content-Encoding", coding)
		}
		got, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply{got, text}
	}
	long := io.MultiReader(strings.NewReader(sound()), io.LimitReader(zeros{}, mediafile.MaxBytes+1000))
	for _, tt := range []struct {
		name, query, kind, coding string
		body                      io.Reader
		status                    int
		says                      string
	}{
		{"a form", "name=a.wav", "multipart/form-data; boundary=x", "", strings.NewReader("--x"), 415, "no form"},
		{"compressed", "name=a.wav", "audio/wav", "gzip", strings.NewReader(sound()), 415, "not compressed"},
		{"replace", "name=a.wav&replace=perhaps", "audio/wav", "", strings.NewReader(sound()), 400, "true or false"},
		{"too long", "name=a.wav", "audio/wav", "", long, 413, "100 MB"},
		{"a page", "name=a.png", "image/png", "", strings.NewReader("<html>"), 400, "cannot be shown"},
	} {
		got := ask(tt.query, tt.kind, tt.coding, tt.body)
		var said errorBody
		if err := json.Unmarshal(got.body, &said); err != nil || got.StatusCode != tt.status || !strings.Contains(said.Message, tt.says) {
			t.Errorf("%s: %d %s, want %d with %q", tt.name, got.StatusCode, got.body, tt.status, tt.says)
		}
	}
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "POST /rest-api/media/upload?name=cut.wav HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer operator\r\nContent-Length: 5000\r\n\r\n"+sound())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); err != nil || !strings.Contains(string(text), "the body ended before its announced length") {
		t.Errorf("half a file: %s, %v", text, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
