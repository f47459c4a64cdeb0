// Package webui serves the server's own pages and the documentation, which package web embeds, and a file config.json that tells the pages
// about the server.
//
// New reads and hashes all files once, and each file is compressed, or unpacked, at most once. After that, the handler only reads memory, so that any number of goroutines may use it.
// The pages publish, push and play through the other doors, as every other client does.
package webui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"transponder/web"
)

// Config is the content of config.json: it tells the pages about the server. A port is 0 if the server does not open it.
type Config struct {
	Version   string `json:"version"`
	RTMPPort  int    `json:"rtmpPort"`  // our own RTMP server, which is the default destination
	HTTPSPort int    `json:"httpsPort"` // needed for the camera: on other hosts than localhost, browsers give it to pages over HTTPS only
	RESTAuth  bool   `json:"restAuth"`  // the REST API asks for a name and a password

	NamePrefix string `json:"namePrefix"` // a push puts it before the stream's name
}

// file is one file in its plain form and in its compressed form. Whichever of the two the program does not hold is made at the first call, so
// that a server starts without this work.
type file struct {
	mediaType string
	plain     func() *form
	gzipped   func() *form // returns nil if the plain form is smaller
}

type form struct {
	content []byte
	etag    string
}

type handler struct {
	files map[string]*file // by URL path

	mayRead   func(*http.Request) bool
	strangers *file // config.json without the version, which tells which known faults the server has
}

// New returns the handler for the pages. It must be mounted at "/", and answers GET and HEAD. Only those who may read learn the version.
func New(cfg Config, mayRead func(*http.Request) bool) (http.Handler, error) {
	return newHandler(cfg, mayRead, web.Pages())
}

func newHandler(cfg Config, mayRead func(*http.Request) bool, pages fs.FS) (http.Handler, error) {
	h := &handler{files: make(map[string]*file), mayRead: mayRead}
	err := fs.WalkDir(pages, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		content, err := fs.ReadFile(pages, name)
		if err != nil {
			return err
		}
		if name, packed := strings.CutSuffix(name, ".gz"); packed {
			h.addPacked("/"+name, content)
			return nil
		}
		h.add("/"+name, content)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	if err := h.addSettings(cfg); err != nil {
		return nil, fmt.Errorf("write the pages' settings: %w", err)
	}
	for name, f := range h.files {
		h.files[address(name)] = f
	}
	return h, nil
}

// settings is the path of the settings for the pages.
const settings = "/config.json"

// addSettings adds config.json, and the form of it for strangers.
func (h *handler) addSettings(cfg Config) error {
	for _, version := range []string{"", cfg.Version} {
		cfg.Version = version
		text, err := json.Marshal(cfg)
		if err != nil {
			return err
		}
		h.strangers = h.files[settings]
		h.add(settings, text)
	}
	return nil
}

// address returns the path under which people find a file: a page without the suffix .html, an index page under its folder.
func address(name string) string {
	page, is := strings.CutSuffix(name, ".html")
	switch {
	case !is:
		return name
	case path.Base(page) == "index":
		return strings.TrimSuffix(page, "index")
	default:
		return page
	}
}

// mediaTypes are the media types by suffix. The table of the machine may have other ones, or none.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".json": "application/json; charset=utf-8",
	".map":  "application/json; charset=utf-8",
	".svg":  "image/svg+xml",
	".ts":   "text/plain; charset=utf-8", // the examples as they were written, for people
	".tsx":  "text/plain; charset=utf-8",
}

func (h *handler) add(name string, content []byte) {
	plain := newForm(content)
	h.files[name] = &file{
		mediaType: mediaType(name),
		plain:     func() *form { return &plain },
		gzipped:   sync.OnceValue(func() *form { return gzipped(content) }),
	}
}

// addPacked adds a file that the program holds in its compressed form, as the pages of the documentation.
func (h *handler) addPacked(name string, content []byte) {
	packed := newForm(content)
	h.files[name] = &file{
		mediaType: mediaType(name),
		plain:     sync.OnceValue(func() *form { return unpacked(content) }),
		gzipped:   func() *form { return &packed },
	}
}

func mediaType(name string) string {
	if known := mediaTypes[path.Ext(name)]; known != "" {
		return known
	}
	return mime.TypeByExtension(path.Ext(name))
}

// unpacked returns the plain form of a content that the build has compressed. What cannot be unpacked is empty: only a wrong build makes such.
func unpacked(content []byte) *form {
	var plain []byte
	if zip, err := gzip.NewReader(bytes.NewReader(content)); err == nil {
		plain, _ = io.ReadAll(zip)
	}
	f := newForm(plain)
	return &f
}

// gzipped returns the compressed form of a content, or nil if that is not smaller.
func gzipped(content []byte) *form {
	var compressed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return nil // never: the level exists
	}
	_, _ = zip.Write(content) // a buffer takes everything
	_ = zip.Close()
	if compressed.Len() >= len(content) {
		return nil
	}
	smaller := newForm(compressed.Bytes())
	return &smaller
}

func newForm(content []byte) form {
	sum := sha256.Sum256(content)
	return form{content: content, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// ServeHTTP answers with a page, a part of one, or an error page.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	name := r.URL.Path
	if watched(name) {
		name = watch
		embed(w.Header())
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, r, http.StatusMethodNotAllowed, "Method not allowed", "Pages are only read, with GET or HEAD.")
		return
	}
	switch f := h.files[name]; {
	case name == settings && !h.mayRead(r):
		h.strangers.serve(w, r)
	case f != nil:
		if strings.HasPrefix(name, "/sdk/") {
			share(w.Header())
		}
		f.serve(w, r)
	case h.files[r.URL.Path+"/"] != nil: // the links of its page begin at the folder
		http.Redirect(w, r, r.URL.Path+"/", http.StatusMovedPermanently)
	case r.URL.Path == "/":
		fail(w, r, http.StatusServiceUnavailable, "The pages were not built",
			"This server was compiled without its pages; everything else works. Build it with <code>make build</code>.")
	default:
		fail(w, r, http.StatusNotFound, "Page not found", `There is nothing at this address. Go to the <a href="/">start page</a> or to the <a href="/docs/">documentation</a>.`)
	}
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", f.mediaType)
	// The names of the files are the same in every build. So a browser must ask each time; the answer is mostly "not modified".
	header.Set("Cache-Control", "no-cache")
	header.Set("Vary", "Accept-Encoding")
	var chosen *form
	if acceptsGzip(r) {
		chosen = f.gzipped()
	}
	if chosen != nil {
		header.Set("Content-Encoding", "gzip")
	} else {
		chosen = f.plain()
	}
	header.Set("ETag", chosen.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(chosen.content))
}

// acceptsGzip reports whether Accept-Encoding allows gzip (RFC 9110, 12.5.3). It knows the forms that browsers and tools use.
func acceptsGzip(r *http.Request) bool {
	codings := strings.Split(r.Header.Get("Accept-Encoding"), ",")
	return slices.ContainsFunc(codings, func(coding string) bool {
		name, weight, _ := strings.Cut(coding, ";")
		weight = strings.TrimRight(strings.ReplaceAll(weight, " ", ""), "0")
		return strings.EqualFold(strings.TrimSpace(name), "gzip") && weight != "q=" && weight != "q=0."
	})
}

// policy is what all pages are allowed to load: their own files.
const policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "

// secure allows the pages only what they need: their own files, the camera and the microphone.
func secure(header http.Header) {
	header.Set("Content-Security-Policy", policy+"media-src 'self' blob:; frame-ancestors 'none'") // a blob: a file that the studio plays
	header.Set("Permissions-Policy", "camera=(self), microphone=(self)")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// watch is the path of the page that plays a stream. The name of the stream follows it, and is for the script of the page only.
const watch = "/watch"

func watched(path string) bool {
	return strings.HasPrefix(path, watch+"/")
}

// embed lets pages of other servers show a page in a frame. The page that plays a stream is the only such page: nothing on it can be pressed that
// does more than play or open the page to sign in. The cookie of a login does not come with it there (SameSite=Strict).
func embed(header http.Header) {
	header.Set("Content-Security-Policy", policy+"frame-ancestors *")
	header.Set("Permissions-Policy", "camera=(), microphone=()")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

// share lets pages of other servers load the SDK, also as a module.
func share(header http.Header) {
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

const failPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%[1]s – Transponder</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/styles.css">
<main><div class="intro"><h1>%[1]s</h1><p>%[2]s</p></div></main>
</html>
`

// fail answers with an error page. title and advice are not escaped, so they must never contain text from a visitor.
func fail(w http.ResponseWriter, r *http.Request, status int, title, advice string) {
	header := w.Header()
	header.Set("Content-Type", mediaTypes[".html"])
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, failPage, title, advice)
	}
}
