package rest

import (
	"bytes"
	"compress/gzip"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"transponder/internal/stream"
	"transponder/internal/transponder"
)

// HEAD is answered as GET, without the body.
func TestHead(t *testing.T) {
	srv := newServer(t, &fakePushes{list: []transponder.Info{livePush()}}, newHub(t))
	for _, path := range []string{"/push/find_all", "/push/history", "/stream/find_all", "/openapi_specification", "/nothing", "/push/find"} {
		want := send(t, srv, newRequest(t, srv, http.MethodGet, prefix+path, ""))
		got := send(t, srv, newRequest(t, srv, http.MethodHead, prefix+path, ""))
		got.wantStatus(t, want.StatusCode)
		if len(got.body) != 0 || got.Header.Get("Content-Type") != want.Header.Get("Content-Type") || got.Header.Get("Allow") != want.Header.Get("Allow") {
			t.Errorf("HEAD %s = %d bytes, %v, want the headers of GET, %v", path, len(got.body), got.Header, want.Header)
		}
	}
	events := send(t, srv, newRequest(t, srv, http.MethodHead, prefix+"/push/events", "")) // and comes to an end
	if events.wantStatus(t, http.StatusOK); events.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD of the events has content type %q", events.Header.Get("Content-Type"))
	}
}

// Additional slashes, which some clients put between the parts of a path and at its end, change nothing.
func TestSlashes(t *testing.T) {
	srv := newServer(t, &fakePushes{list: []transponder.Info{livePush()}}, newHub(t))
	for _, path := range []string{"/push/find/", "/push/find//", "//push//find", "/./push/find"} {
		r := newRequest(t, srv, http.MethodPost, "/rest-api", "{}")
		r.URL.Path += path
		resp, err := srv.Client().Transport.RoundTrip(r) // follows no redirect
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("POST /rest-api%s = %d, want 200", path, resp.StatusCode)
		}
		if !Serves(r.URL.Path) {
			t.Errorf("Serves(%q) = false", r.URL.Path)
		}
	}
	for _, path := range []string{"/rest-apis", "/", "/x/rest-api", "/rest-api/../whip/x"} {
		if Serves(path) {
			t.Errorf("Serves(%q) = true", path)
		}
	}
	r, err := srv.Client().Get(srv.URL + "/rest-api/call/find_all/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusNotImplemented {
		t.Errorf("calls with a slash behind = %d, want 501", r.StatusCode)
	}
}

func TestOptions(t *testing.T) {
	srv := newServer(t, &fakePushes{}, newHub(t))
	for path, want := range map[string]string{
		"/push/startup": "POST, OPTIONS", "/push/find_all": "GET, HEAD, POST, OPTIONS", "/push/find_all/": "GET, HEAD, POST, OPTIONS",
		"/push/events": "GET, HEAD, OPTIONS", "/nothing": "",
	} {
		r := send(t, srv, newRequest(t, srv, http.MethodOptions, prefix+path, ""))
		r.wantStatus(t, http.StatusNoContent)
		if got := r.Header.Get("Allow"); got != want {
			t.Errorf("Allow of %s = %q, want %q", path, got, want)
		}
	}
	for asked, want := range map[string]string{
		"":                           "content-type,x-requested-with",
		"content-type":               "content-type,x-requested-with",
		"Authorization,content-type": "content-type,x-requested-with,authorization",
	} {
		r := newRequest(t, srv, http.MethodOptions, prefix+"/push/startup", "")
		r.Header.Set("Access-Control-Request-Headers", asked)
		if got := send(t, srv, r).Header.Get("Access-Control-Allow-Headers"); got != want {
			t.Errorf("asked for %q: %q may be sent, want %q", asked, got, want)
		}
	}
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompressedBody(t *testing.T) {
	srv := newServer(t, &fakePushes{list: []transponder.Info{livePush()}}, newHub(t))
	const find = `{"streamName": "name"}`
	spaces := strings.Repeat(" ", maxBody-len(find))
	tests := map[string]struct {
		coding, body string
		status       int
	}{
		"gzip":                      {"gzip", zipped(t, find), 200},
		"in capitals":               {"GZIP", zipped(t, find), 200},
		"the old name":              {"x-gzip", zipped(t, find), 200},
		"none":                      {"identity", find, 200},
		"in two parts":              {"gzip", zipped(t, find[:5]) + zipped(t, find[5:]), 200},
		"nothing":                   {"gzip", zipped(t, ""), 200},
		"as large as may be":        {"gzip", zipped(t, find+spaces), 200},
		"too large":                 {"gzip", zipped(t, find+spaces+" "), 413},
		"a bomb":                    {"gzip", zipped(t, strings.Repeat(" ", 100<<20)), 413},
		"no gzip":                   {"gzip", find, 400},
		"no body":                   {"gzip", "", 400},
		"cut":                       {"gzip", zipped(t, find)[:20], 400},
		"a wrong sum":               {"gzip", zipped(t, find)[:len(zipped(t, find))-8] + "12345678", 400},
		"bytes behind":              {"gzip", zipped(t, find) + "more", 400},
		"another":                   {"br", find, 415},
		"one in another":            {"gzip, gzip", zipped(t, zipped(t, find)), 415},
		"one that is named by many": {strings.Repeat("x", 5000), find, 415},
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		tt := tests[name]
		t.Run(name, func(t *testing.T) {
			r := newRequest(t, srv, http.MethodPost, prefix+"/push/find", tt.body)
			r.Header.Set("Content-Encoding", tt.coding)
			r.Header.Set("Content-Type", "text/plain") // the contract's reader knows no gzip
			got := send(t, srv, r)
			got.wantStatus(t, tt.status)
			if want := tt.status == 415; (got.Header.Get("Accept-Encoding") == "gzip") != want {
				t.Errorf("Accept-Encoding = %q", got.Header.Get("Accept-Encoding"))
			}
			if tt.status != 200 && got.message(t) == "" {
				t.Error("the error has no words")
			}
		})
	}
}

type noStreams struct{}

func (noStreams) Sources() []*stream.Source { return nil }

func (noStreams) Spares() []*stream.Source { return nil }

// A client may ask for an empty list in place of the 404 of the contract.
func TestEmptyList(t *testing.T) {
	none := &fakeSessions{}
	srv := serve(t, DefaultConfig(), Parts{
		Pushes: &fakePushes{}, Streams: noStreams{}, Events: newFakeEvents(0), Calls: &fakeCalls{}, Connections: none, Players: none,
	})
	for _, path := range []string{
		"/push/find", "/push/find_all", "/stream/find", "/stream/find_all", "/connection/find", "/connection/find_all", "/call/find", "/call/find_all",
	} {
		post(t, srv, prefix+path, "{}").wantStatus(t, http.StatusNotFound)
		r := post(t, srv, prefix+path+"?empty=true", "{}")
		r.wantStatus(t, http.StatusOK)
		if got := strings.TrimSpace(string(r.body)); got != "[]" {
			t.Errorf("%s = %s, want []", path, got)
		}
	}
	post(t, srv, prefix+"/push/find", `{"streamName": "x", "empty": true}`).wantStatus(t, http.StatusOK)
	post(t, srv, prefix+"/push/find?empty=true", `{"empty": "false"}`).wantStatus(t, http.StatusNotFound)
	post(t, srv, prefix+"/stream/terminate?empty=true", `{"name": "x"}`).wantStatus(t, http.StatusNotFound)
}
