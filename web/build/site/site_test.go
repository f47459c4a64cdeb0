package site

import (
	"bytes"
	"compress/gzip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const root = "../../.."

// values returns the values of an attribute. Patterns would take seconds under the race detector.
func values(page, attribute string) []string {
	var all []string
	for _, rest := range strings.Split(page, " "+attribute+`="`)[1:] {
		value, _, _ := strings.Cut(rest, `"`)
		all = append(all, value)
	}
	return all
}

// beside are files of a site that this package does not make.
var beside = []string{"docs.css", "docs.js", "icon.svg"}

// built is the documentation as the server shows it, made once for all tests.
var built = sync.OnceValues(func() (map[string][]byte, error) { return Build(root, true) })

// Every link of the documentation leads to a page, and to a place on it if it names one. Nothing is loaded from another server.
func TestLinks(t *testing.T) {
	files, err := built()
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]bool{}
	for name, content := range files {
		if path.Ext(name) != ".html" {
			continue
		}
		for _, id := range values(string(content), "id") {
			place := name + "#" + id
			if places[place] {
				t.Errorf("%s is there twice", place)
			}
			places[place] = true
		}
	}
	found := 0
	for name, content := range files {
		if path.Ext(name) != ".html" {
			continue
		}
		page := string(content)
		head, _, _ := strings.Cut(page, "</head>")
		for _, loaded := range append(append(values(page, "src"), values(head, "href")...), values(page, "data-index")...) {
			if strings.Contains(loaded, ":") || strings.HasPrefix(loaded, "/") {
				t.Errorf("%s loads %s", name, loaded)
			}
		}
		for _, link := range append(append(values(page, "href"), values(page, "src")...), values(page, "data-index")...) {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "/") { // a page of the server
				continue
			}
			found++
			file, place, _ := strings.Cut(link, "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if _, made := files[to]; !made && !slices.Contains(beside, to) {
				t.Errorf("%s links to %s, which is not there", name, link)
			} else if place != "" && !places[to+"#"+place] {
				t.Errorf("%s links to %s: there is no such place", name, link)
			}
		}
	}
	if found < 2000 {
		t.Errorf("only %d links were found", found)
	}
}

// The two pages that are made from other files have each method, each body and each setting.
func TestReferences(t *testing.T) {
	files, err := built()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		page, file, pattern, prefix string
		least                       int
	}{
		{"api.html", api, `(?m)^ +operationId: (\w+)$`, "", 60},
		{"api.html", api, `(?m)^ +(?:- )?"?\$ref"?: "#/components/schemas/(\w+)"|\{\$ref: "#/components/schemas/(\w+)"\}`, "schema-", 60},
		{"every-setting.html", properties, `(?m)^([\w.]+)=`, "", 100},
	} {
		text, err := os.ReadFile(filepath.Join(root, tt.file))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(tt.pattern).FindAllStringSubmatch(string(text), -1)
		if len(found) < tt.least {
			t.Errorf("%s: only %d found in %s", tt.page, len(found), tt.file)
		}
		for _, m := range found {
			if id := `id="` + tt.prefix + strings.Join(m[1:], "") + `"`; !strings.Contains(string(files[tt.page]), id) {
				t.Errorf("%s has no %s", tt.page, id)
			}
		}
	}
	for _, want := range []string{"<code>http.port=8081</code>", "Range: -1 to 65535."} {
		if !strings.Contains(string(files["every-setting.html"]), want) {
			t.Errorf("every-setting.html lacks %q", want)
		}
	}
	if strings.Contains(string(files["api.html"]), "$ref") {
		t.Error("api.html shows a reference")
	}
}

// What the documentation adds to the program.
func TestSize(t *testing.T) {
	files, err := built()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for name, content := range files {
		var out bytes.Buffer
		w := gzip.NewWriter(&out) // less than the build does, which takes long under the race detector
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		total += out.Len()
		if name == IndexScript {
			t.Logf("%s: %d bytes, %d compressed", name, len(content), out.Len())
			if out.Len() > 180_000 {
				t.Errorf("the index of the search takes %d bytes: everybody who searches loads it", out.Len())
			}
		}
	}
	t.Logf("%d files, %d bytes compressed", len(files), total)
	if total > 800_000 {
		t.Errorf("the documentation takes %d bytes in the program", total)
	}
}

// tree writes a small tree with a navigation.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"docs/adr/README.md": "# Decisions\n", "docs/one.md": "# One\n\n## Again\n\ntext\n\n## Again\n"}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const good = "# All\n\n## Start\n\n- [One](one.md): the first\n- [Decisions](adr/README.md): why\n"

// The build refuses documents that it would not show as they are meant, and says what is wrong.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name, nav, page, want string
	}{
		{"not listed", good, "# Two\n", "two.md; add it to the chapter"},
		{"listed", good + "- [Two](two.md): the second\n", "# Two\n\n[first](one.md#again-1)\n", ""},
		{"twice", good + "- [Two](two.md): the second\n- [Two](two.md): again\n", "# Two\n", "lists docs/two.md twice"},
		{"missing", good + "- [Two](two.md): the second\n- [Three](three.md): away\n", "# Two\n", "three.md: no such file"},
		{"no text", good + "- [Two](two.md)\n", "# Two\n", "is no line of a chapter"},
		{"no title", good + "- [Two](two.md): the second\n", "text\n", "docs/two.md: no title"},
		{"two titles", good + "- [Two](two.md): the second\n", "# Two\n\n# Three\n", "two titles"},
		{"markup", good + "- [Two](two.md): the second\n", "# Two\n\n<b>loud</b>\n", "markup: <b>"},
		{"block of markup", good + "- [Two](two.md): the second\n", "# Two\n\n<div>\nloud\n</div>\n", "markup: <div>"},
		{"comment", good + "- [Two](two.md): the second\n", "# Two\n\n<!-- for authors -->\n", ""},
		{"link to nowhere", good + "- [Two](two.md): the second\n", "# Two\n\n[x](three.md)\n", "three.md, which does not exist"},
		{"picture", good + "- [Two](two.md): the second\n", "# Two\n\n![x](x.png)\n", "an image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Build(tree(t, map[string]string{"docs/README.md": tt.nav, "docs/two.md": tt.page}), false)
			if got := ""; err != nil {
				got = err.Error()
				if tt.want == "" || !strings.Contains(got, tt.want) {
					t.Errorf("error = %q, want %q", got, tt.want)
				}
			} else if tt.want != "" {
				t.Errorf("no error, want %q", tt.want)
			}
		})
	}
}

// A page is made as its document means it.
func TestPage(t *testing.T) {
	text := "# Two & more\n\nA `<b>` in [One](one.md) and [a file](../x.go).\n\n## A `code` title\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n```sh\necho '<b>'\n```\n"
	dir := tree(t, map[string]string{"docs/README.md": good + "- [Two](two.md): the second\n", "docs/two.md": text, "x.go": "package x\n"})
	files, err := Build(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	page := string(files["two.html"])
	for _, want := range []string{
		"<title>Two &amp; more – Transponder</title>", "<h1>Two &amp; more</h1>", `<a href="one.html">One</a>`, "a file.</p>", "<code>&lt;b&gt;</code>",
		`<h2 id="a-code-title">`, `<div class="table"><table>`, "<pre><code>echo '&lt;b&gt;'", `<a href="two.html" aria-current="page">Two</a>`,
		`<a rel="prev" href="adr/index.html">`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if n := strings.Count(page, "<h1"); n != 1 {
		t.Errorf("%d titles", n)
	}
	if strings.Contains(page, `href="/`) {
		t.Error("pages of no server link to pages of the server")
	}
	if page := string(files["adr/index.html"]); !strings.Contains(page, `href="../docs.css"`) || !strings.Contains(page, `href="../one.html"`) {
		t.Error("a page in a folder does not go up")
	}
	if one := string(files["one.html"]); !strings.Contains(one, `id="again"`) || !strings.Contains(one, `id="again-1"`) {
		t.Error("two headings with the same words do not have two places")
	}
	want := `{"p":"Two \u0026 more","n":"two.html","t":"A \u003cb\u003e in One and a file."},{"p":"Two \u0026 more","n":"two.html#a-code-title","h":"A code title","t":"a b 1 2"}`
	if index := string(files[IndexScript]); !strings.Contains(index, want) {
		t.Errorf("the index has\n%s\nwant in it\n%s", index, want)
	}
}
