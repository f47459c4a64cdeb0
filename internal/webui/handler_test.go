package webui

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

var (
	script = strings.Repeat("console.log('on air');\n", 50)
	manual = "<!doctype html><title>REST</title>" + strings.Repeat("<p>push</p>", 50)
	pages  = fstest.MapFS{
		".gitkeep":   {},
		"index.html": {Data: []byte("<!doctype html><title>Go live</title>" + strings.Repeat("<p>on air</p>", 50))},
		"index.js":   {Data: []byte(script)},
		"icon.svg":   {Data: []byte("<svg/>")},

		"watch.html":          {Data: []byte("<!doctype html><title>Watch</title>")},
		"console.html":        {Data: []byte("<!doctype html><title>Console</title>")},
		"examples/index.html": {Data: []byte("<!doctype html><title>Examples</title>")},
		"examples/play.ts":    {Data: []byte("const player = 1;")},
		"examples/play.html":  {Data: []byte("<!doctype html><title>Play</title>")},

		"docs/index.html.gz":      {Data: zipped("<!doctype html><title>Documentation</title>")},
		"docs/rest.html.gz":       {Data: zipped(manual)},
		"docs/adr/index.html.gz":  {Data: zipped("<!doctype html><title>Decisions</title>")},
		"docs/search-index.js.gz": {Data: zipped("globalThis.searchIndex=[];")},
	}
)

// zipped returns a text as the build packs a page of the documentation.
func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

func newTestHandler(t *testing.T, files fstest.MapFS) http.Handler {
	t.Helper()
	h, err := newHandler(Config{Version: "1.2.3", RTMPPort: 1935, HTTPSPort: 8444, RESTAuth: true}, func(r *http.Request) bool { return r.Header.Get("Cookie") != "stranger" }, files)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, method, target string
		status               int
		mediaType, contains  string
	}{
		{"start page", "GET", "/", 200, "text/html; charset=utf-8", "Go live"},
		{"query is ignored", "GET", "/?x=1", 200, "text/html; charset=utf-8", "Go live"},
		{"script", "GET", "/index.js", 200, "text/javascript; charset=utf-8", "on air"},
		{"icon", "GET", "/icon.svg", 200, "image/svg+xml", "<svg/>"},
		{"settings", "GET", "/config.json", 200, "application/json; charset=utf-8", `"rtmpPort":1935`},
		{"page without its suffix", "GET", "/console", 200, "text/html; charset=utf-8", "Console"},
		{"page by its file", "GET", "/console.html", 200, "text/html; charset=utf-8", "Console"},
		{"page of a folder", "GET", "/examples/", 200, "text/html; charset=utf-8", "Examples"},
		{"page in a folder", "GET", "/examples/play", 200, "text/html; charset=utf-8", "Play"},
		{"script of it for people", "GET", "/examples/play.ts", 200, "text/plain; charset=utf-8", "const player"},
		{"documentation", "GET", "/docs/", 200, "text/html; charset=utf-8", "Documentation"},
		{"page of it by its file", "GET", "/docs/rest.html", 200, "text/html; charset=utf-8", "REST"},
		{"page of it without suffix", "GET", "/docs/rest", 200, "text/html; charset=utf-8", "REST"},
		{"folder of it", "GET", "/docs/adr/", 200, "text/html; charset=utf-8", "Decisions"},
		{"script of it", "GET", "/docs/search-index.js", 200, "text/javascript; charset=utf-8", "searchIndex"},
		{"not by its packed name", "GET", "/docs/rest.html.gz", 404, "text/html; charset=utf-8", "Page not found"},
		{"unknown", "GET", "/nothing", 404, "text/html; charset=utf-8", "Page not found"},
		{"no folders", "GET", "/index.js/", 404, "text/html; charset=utf-8", "Page not found"},
		{"no way up", "GET", "/../go.mod", 404, "text/html; charset=utf-8", "Page not found"},
		{"hidden", "GET", "/.gitkeep", 404, "text/html; charset=utf-8", "Page not found"},
		{"markup in a path", "GET", "/%3Cscript%3E", 404, "text/html; charset=utf-8", "Page not found"},
		{"write", "POST", "/", 405, "text/html; charset=utf-8", "GET or HEAD"},
		{"head", "HEAD", "/", 200, "text/html; charset=utf-8", ""},
		{"head of nothing", "HEAD", "/nothing", 404, "text/html; charset=utf-8", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := ask(newTestHandler(t, pages), tt.method, tt.target)
			text := body(t, r)
			if r.StatusCode != tt.status || r.Header.Get("Content-Type") != tt.mediaType {
				t.Errorf("answer = %d %s, want %d %s", r.StatusCode, r.Header.Get("Content-Type"), tt.status, tt.mediaType)
			}
			if !strings.Contains(text, tt.contains) || tt.method == "HEAD" && text != "" {
				t.Errorf("body = %q, want %q in it", text, tt.contains)
			}
			if strings.Contains(text, "<script>") {
				t.Error("the answer repeats what the visitor sent")
			}
			for _, name := range []string{"Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options", "Permissions-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"} {
				if r.Header.Get(name) == "" {
					t.Errorf("no header %s", name)
				}
			}
		})
	}
}

// Without the slash, the links of the page in the folder would lead elsewhere.
// Only the page that plays a stream may stand in a frame of another page, and it has neither camera nor microphone.
func TestEmbedding(t *testing.T) {
	h := newTestHandler(t, pages)
	for _, tt := range []struct {
		target   string
		status   int
		embedded bool
	}{
		{"/watch/show", 200, true},
		{"/watch/acme%2Flive", 200, true},
		{"/watch/acme/live", 200, true},
		{"/watch/%3Cscript%3E", 200, true},
		{"/watch/..%2Fconsole", 200, true},
		{"/watch/", 200, true},
		{"/watch", 200, false},
		{"/watch.html", 200, false},
		{"/watching", 404, false},
		{"/", 200, false},
		{"/console", 200, false},
	} {
		r := ask(h, "GET", tt.target)
		if r.StatusCode != tt.status {
			t.Errorf("%s: status = %d, want %d", tt.target, r.StatusCode, tt.status)
		}
		if got := strings.HasSuffix(r.Header.Get("Content-Security-Policy"), "; frame-ancestors *"); got != tt.embedded {
			t.Errorf("%s: may be embedded = %v, want %v", tt.target, got, tt.embedded)
		}
		if got := r.Header.Get("Permissions-Policy") == "camera=(), microphone=()"; got != tt.embedded {
			t.Errorf("%s: has no camera = %v, want %v", tt.target, got, tt.embedded)
		}
		if tt.embedded && !strings.Contains(body(t, r), "<title>Watch</title>") {
			t.Errorf("%s is not the page that plays", tt.target)
		}
	}
	if r := ask(h, "POST", "/watch/show"); r.StatusCode != 405 {
		t.Errorf("POST: status = %d, want 405", r.StatusCode)
	}
}

func TestFolders(t *testing.T) {
	for _, path := range []string{"/docs", "/docs/adr"} {
		r := ask(newTestHandler(t, pages), "GET", path)
		if got := r.Header.Get("Location"); r.StatusCode != http.StatusMovedPermanently || got != path+"/" {
			t.Errorf("%s: answer = %d to %q, want 301 to the folder", path, r.StatusCode, got)
		}
	}
}

func TestSettings(t *testing.T) {
	for who, want := range map[string]Config{
		"reader":   {Version: "1.2.3", RTMPPort: 1935, HTTPSPort: 8444, RESTAuth: true},
		"stranger": {RTMPPort: 1935, HTTPSPort: 8444, RESTAuth: true},
	} {
		var got Config
		r := ask(newTestHandler(t, pages), "GET", "/config.json", "Cookie", who)
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("settings for a %s = %+v, want %+v", who, got, want)
		}
	}
}

// Pages of other servers may load the SDK and no other file.
func TestSharing(t *testing.T) {
	h := newTestHandler(t, fstest.MapFS{"sdk/flashphoner.js": {Data: []byte(script)}, "index.js": {Data: []byte(script)}})
	for path, want := range map[string]string{"/sdk/flashphoner.js": "*", "/index.js": "", "/sdk/nothing": ""} {
		if got := ask(h, "GET", path).Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s may be read by pages of %q, want %q", path, got, want)
		}
	}
}

func TestNotModified(t *testing.T) {
	h := newTestHandler(t, pages)
	for _, coding := range []string{"", "gzip"} {
		first := ask(h, "GET", "/index.js", "Accept-Encoding", coding)
		etag := first.Header.Get("ETag")
		again := ask(h, "GET", "/index.js", "Accept-Encoding", coding, "If-None-Match", etag)
		if etag == "" || again.StatusCode != http.StatusNotModified {
			t.Errorf("coding %q, etag %q: second answer = %d, want 304", coding, etag, again.StatusCode)
		}
	}
}

func TestCompression(t *testing.T) {
	for _, tt := range []struct {
		accept  string
		gzipped bool
	}{
		{"", false}, {"gzip", true}, {"br, GZIP;q=0.5", true}, {"deflate", false},
		{"gzip;q=0", false}, {"gzip; q=0.000", false}, {"br,gzip", true},
	} {
		r := ask(newTestHandler(t, pages), "GET", "/index.js", "Accept-Encoding", tt.accept)
		if got := r.Header.Get("Content-Encoding") == "gzip"; got != tt.gzipped {
			t.Errorf("Accept-Encoding %q: gzipped = %t, want %t", tt.accept, got, tt.gzipped)
			continue
		}
		content := io.Reader(r.Body)
		if tt.gzipped {
			var err error
			if content, err = gzip.NewReader(r.Body); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(content); err != nil || string(got) != script {
			t.Errorf("Accept-Encoding %q: got %d bytes and %v, want the script", tt.accept, len(got), err)
		}
	}
	for _, coding := range []string{"", "gzip"} { // a page that the program holds compressed
		r := ask(newTestHandler(t, pages), "GET", "/docs/rest.html", "Accept-Encoding", coding)
		var content io.Reader = r.Body
		if coding != "" {
			var err error
			if content, err = gzip.NewReader(r.Body); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(content); err != nil || string(got) != manual || r.Header.Get("Content-Encoding") != coding {
			t.Errorf("the manual with the coding %q: got %d bytes in %q and %v", coding, len(got), r.Header.Get("Content-Encoding"), err)
		}
	}
	if r := ask(newTestHandler(t, pages), "GET", "/icon.svg", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "" {
		t.Error("a file that compression makes larger is compressed")
	}
}

// A build without the pages must start, and say that the pages are missing.
func TestNotBuilt(t *testing.T) {
	r := ask(newTestHandler(t, fstest.MapFS{".gitkeep": {}}), "GET", "/")
	if text := body(t, r); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "make build") {
		t.Errorf("answer = %d %q, want 503 and the command to run", r.StatusCode, text)
	}
}

func TestEmbedded(t *testing.T) {
	if _, err := New(Config{}, nil); err != nil {
		t.Fatal(err)
	}
}
