// Package imports holds the tree to its map: who may know of whom. Nothing but tests is in it.
package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "transponder"
)

// layers are the tree's packages from the top to the bottom, each with those in folders below it. A package imports from
// layers below its own only: what needs something from above declares an interface, and app hands it over.
var layers = []struct {
	name     string
	packages []string
}{
	{"start", []string{"cmd"}},
	{"all", []string{"internal/app", "internal/admin"}},
	{"settings", []string{"internal/config"}},
	{"doors", []string{
		"internal/rest", "internal/wcs", "internal/whip", "internal/rtmpserver", "internal/webui", "internal/metrics",
	}},
	{"work", []string{"internal/rtc", "internal/sip", "internal/transponder", "internal/transcode", "internal/cluster"}},
	{"hub", []string{"internal/stream"}},
	{"admission", []string{"internal/access", "internal/hook", "internal/destination"}},
	{"machine", []string{"internal/logs", "internal/load", "internal/guard", "internal/panics", "internal/state", "internal/certificate", "internal/handover", "internal/trace"}},
	{"wire", []string{"internal/rtmp", "internal/flv", "internal/amf"}},
	{"vocabulary", []string{"internal/media", "internal/limits"}},
	{"for other programs", []string{"pkg"}},
	{"embedded files", []string{"api", "web"}},
}

// apart are the folders outside the layers: none of the packages above imports from them.
var apart = []string{"bench", "deploy", "internal/testkit", "test"}

// sideways are the imports within a layer that are meant. Doors have none: what two of them share belongs to a lower layer.
var sideways = map[[2]string]string{
	{"internal/transponder", "internal/transcode"}: "a push asks for the rendition it needs",
	{"internal/sip", "internal/rtc"}:               "the media of a call is RTP, too: one jitter buffer, one clock",
	{"internal/sip", "internal/transponder"}:       "a call can ask for a push of its own",
	{"internal/sip", "internal/transcode"}:         "what a phone hears: silence, files",
	{"internal/cluster", "internal/transponder"}:   "a claim is the right to run one push",
	{"internal/hook", "internal/access"}:           "an app has limits and grants",
	{"internal/destination", "internal/access"}:    "a destination says who may use it",
	{"internal/flv", "internal/amf"}:               "script tags hold AMF0",
	{"internal/rtmp", "internal/amf"}:              "commands are AMF0",
	{"internal/rtmp", "internal/flv"}:              "messages of media are FLV tag bodies",
}

// forbidden are imports that the layers would allow. In is a folder and those below it; imported may end in /... in the same
// sense.
var forbidden = []struct {
	in, imported, reason string
	except               []string
}{
	{in: "internal/rtmp", imported: "log/slog", reason: "wire packages return errors and log nothing"},
	{in: "internal/flv", imported: "log/slog", reason: "wire packages return errors and log nothing"},
	{in: "internal/amf", imported: "log/slog", reason: "wire packages return errors and log nothing"},
	{in: "internal/flv", imported: "time", reason: "wire packages have no clock: time comes in as a value"},
	{in: "internal/amf", imported: "time", reason: "wire packages have no clock: time comes in as a value"},
	{
		in: "", imported: "C", reason: "two places to look for what cgo can do to us",
		except: []string{"internal/transcode/libav", "internal/transcode/aac"},
	},
	{
		in: "", imported: "github.com/pion/webrtc/v4", reason: "PeerConnections stay behind the seam rtc.Receiver",
		except: []string{"internal/rtc/pion", "internal/testkit", "bench", "test"},
	},
	{
		in: "", imported: "github.com/bluenviron/gortmplib/...", reason: "it is the tests' peer that we did not write",
		except: []string{"internal/testkit", "test"},
	},
	{in: "internal/transcode/sound", imported: module + "/internal/transcode/soundfile", reason: "files are played through sound, not the other way round"},
	{in: "internal/transcode/sound", imported: module + "/internal/transcode/picture/...", reason: "sound and pictures know nothing of each other"},
	{in: "internal/transcode/soundfile", imported: module + "/internal/transcode/picture/...", reason: "sound and pictures know nothing of each other"},
	{in: "internal/transcode/picture", imported: module + "/internal/transcode/sound/...", reason: "sound and pictures know nothing of each other"},
	{in: "internal/transcode/picture", imported: module + "/internal/transcode/soundfile", reason: "sound and pictures know nothing of each other"},
	{in: "internal/transcode/libav", imported: module + "/internal/transcode/...", reason: "the codecs are below the rooms that use them"},
	{in: "internal/sip/sdp", imported: "net", reason: "SDP is text: sockets belong to the packages that use it"},
	{in: "internal/whip", imported: module + "/internal/transponder", reason: "players and publishers need nothing of pushes"},
	{
		in: "", imported: "github.com/emiago/sipgo/...", reason: "parser, transports and transactions stay behind internal/sip/line",
		except: []string{"internal/sip/line", "internal/testkit", "test"},
	},
	{
		in: "", imported: "github.com/nats-io/...", reason: "NATS stays behind internal/cluster",
		except: []string{"internal/cluster", "internal/testkit", "test", "bench"},
	},
	{in: "internal/sip/dialog", imported: module + "/...", reason: "the rules of a call know nothing of media and streams"},
	{in: "internal/sip/dialog", imported: "log/slog", reason: "the user of a call logs what it tells"},
	{in: "", imported: "log", reason: "logs go through a log/slog logger that is passed in"},
	{in: "", imported: "math/rand", reason: "math/rand/v2, or crypto/rand where a stranger must not guess"},
	{in: "pkg", imported: module + "/internal/...", reason: "a program of somebody else cannot build with it"},
	{in: "bench", imported: module + "/internal/...", reason: "a fault of ours would cancel itself out"},
	{in: "bench", imported: module + "/api", reason: "a fault of ours would cancel itself out"},
}

// rootContexts are where context.Background may stand: a context comes from above, so only the top makes one.
var rootContexts = map[string]string{
	"cmd":                       "main",
	"bench/main.go":             "main",
	"deploy/build/main.go":      "main",
	"internal/stream/source.go": "a rendition outlives the reader that asked for it first: it lives as long as any reads",
	"internal/rtc/pionlog.go":   "the logger that pion calls is given no context",
	"internal/testkit":          "fakes stand for other programs, which have a main of their own",
}

// nameless are package names that say nothing of what is in them.
var nameless = []string{"base", "common", "defs", "helper", "helpers", "misc", "shared", "types", "util", "utils"}

// file is a Go file that is no test. Files are read whatever their build tags.
type file struct {
	path, dir, pkg string // path and dir from the root, with slashes
	imports        []string
	makesContext   bool
}

func TestImports(t *testing.T) {
	for _, f := range files(t) {
		if from, _ := place(f.dir); from == "" && !isApart(f.dir) {
			t.Errorf("%s: the folder has no place in the layers", f.path)
		}
		for _, imported := range f.imports {
			if fault := judge(f.dir, imported); fault != "" {
				t.Errorf("%s: imports %s: %s", f.path, imported, fault)
			}
		}
	}
}

func TestJudge(t *testing.T) {
	tests := []struct{ dir, imported, want string }{
		{"cmd/transponder", "transponder/internal/app", ""},
		{"internal/rest", "transponder/internal/transponder", ""},
		{"internal/rtc/pion", "transponder/internal/rtc", ""},
		{"internal/transponder", "transponder/internal/transcode/sound", ""},
		{"internal/transcode/libav", "C", ""},
		{"internal/transcode/aac", "C", ""},
		{"bench/internal/loadgen", "github.com/pion/webrtc/v4", ""},
		{"internal/stream", "transponder/internal/rtc", "upwards: hub to work"},
		{"internal/media", "transponder/internal/amf", "upwards: vocabulary to wire"},
		{"internal/whip", "transponder/internal/wcs", "sideways, among doors"},
		{"internal/transcode/sound", "transponder/internal/transponder", "sideways, among work"},
		{"internal/transcode/picture", "transponder/internal/transcode/sound", "sound and pictures know nothing of each other"},
		{"internal/whip", "transponder/internal/transponder", "players and publishers need nothing of pushes"},
		{"internal/rest", "transponder/internal/testkit", "it is apart from the server"},
		{"internal/rtmp", "log/slog", "wire packages return errors and log nothing"},
		{"internal/transcode/sound", "C", "two places to look for what cgo can do to us"},
		{"internal/whip", "github.com/pion/webrtc/v4", "PeerConnections stay behind the seam rtc.Receiver"},
		{"internal/rtmp", "github.com/bluenviron/gortmplib/pkg/message", "it is the tests' peer that we did not write"},
		{"bench/internal/sink", "transponder/internal/rtmp", "a fault of ours would cancel itself out"},
	}
	for _, test := range tests {
		if got := judge(test.dir, test.imported); got != test.want {
			t.Errorf("%s importing %s: %q, want %q", test.dir, test.imported, got, test.want)
		}
	}
}

func TestContextsComeFromMain(t *testing.T) {
	for _, f := range files(t) {
		allowed := false
		for path := range rootContexts {
			allowed = allowed || within(f.path, path)
		}
		if f.makesContext && !allowed {
			t.Errorf("%s: makes a context of its own; it is handed one", f.path)
		}
	}
}

func TestPackageNames(t *testing.T) {
	dirs := map[string]string{}
	for _, f := range files(t) {
		if slices.Contains(nameless, f.pkg) {
			t.Errorf("%s: package %s is named for nothing it does", f.path, f.pkg)
		}
		if other, ok := dirs[f.pkg]; ok && other != f.dir && f.pkg != "main" {
			t.Errorf("%s: there is a package %s in %s already: one import would need an alias", f.path, f.pkg, other)
		}
		dirs[f.pkg] = f.dir
	}
}

// judge says what is wrong with an import by a package in dir; "" is nothing.
func judge(dir, imported string) string {
	for _, rule := range forbidden {
		excepted := slices.ContainsFunc(rule.except, func(folder string) bool { return within(dir, folder) })
		prefix, tree := strings.CutSuffix(rule.imported, "/...")
		hit := imported == rule.imported || tree && within(imported, prefix)
		if hit && within(dir, rule.in) && !excepted {
			return rule.reason
		}
	}
	from, fromLayer := place(dir)
	target, ours := strings.CutPrefix(imported, module+"/")
	if !ours || from == "" {
		return ""
	}
	to, toLayer := place(target)
	switch {
	case isApart(target):
		return "it is apart from the server"
	case to == "":
		return "it has no place in the layers"
	case to == from || toLayer > fromLayer:
		return ""
	case toLayer < fromLayer:
		return "upwards: " + layers[fromLayer].name + " to " + layers[toLayer].name
	case sideways[[2]string{from, to}] != "":
		return ""
	}
	return "sideways, among " + layers[fromLayer].name
}

// place returns the package of the layers that dir is or is below, and the number of its layer.
func place(dir string) (string, int) {
	for i, layer := range layers {
		for _, pkg := range layer.packages {
			if within(dir, pkg) {
				return pkg, i
			}
		}
	}
	return "", -1
}

func isApart(dir string) bool {
	return slices.ContainsFunc(apart, func(folder string) bool { return within(dir, folder) })
}

// within says whether path is folder or below it; everything is below "".
func within(path, folder string) bool {
	return folder == "" || path == folder || strings.HasPrefix(path, folder+"/")
}

// files reads the tree.
func files(t *testing.T) []file {
	t.Helper()
	var out []file
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == "node_modules" || name == "testdata" || name[0] == '.' && path != root) {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := read(path)
		out = append(out, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("no Go file was found")
	}
	return out
}

func read(path string) (file, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	short, err := filepath.Rel(root, path)
	if err != nil {
		return file{}, err
	}
	short = filepath.ToSlash(short)
	f := file{path: short, dir: filepath.ToSlash(filepath.Dir(short)), pkg: syntax.Name.Name}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, imported)
	}
	ast.Inspect(syntax, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, _ := selector.X.(*ast.Ident)
		name := selector.Sel.Name
		if pkg != nil && pkg.Name == "context" && (name == "Background" || name == "TODO") {
			f.makesContext = true
		}
		return true
	})
	return f, nil
}
