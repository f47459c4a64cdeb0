// Package docs holds what the documents say of the tree to the tree: paths, links, and the lists of documents. Nothing but tests is in
// it.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// documents returns the documents that are checked, as paths from the root. CHANGELOG.md tells of files that are gone.
func documents(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md", "CONTRIBUTING.md", "bench/README.md", "web/README.md", "web/sdk/README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no documents: %v", pattern, err)
		}
		for _, file := range files {
			path, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, filepath.ToSlash(path))
		}
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// beside are folders whose files a document names without the folder, because it is about that folder.
var beside = map[string][]string{
	"web/README.md":     {"web/pages", "web/sdk/src", "test/e2e/browser"},
	"web/sdk/README.md": {"web/sdk/src"},
}

var (
	fence = regexp.MustCompile("(?ms)^```.*?^```$")
	// code is a word between backticks.
	code = regexp.MustCompile("`([^`\\s]+)`")
	// inTree is a path that begins with a folder of the root, as diagrams and commands have it.
	inTree = regexp.MustCompile(`(?:^|[\s"'(/,])((?:api|bench|cmd|docs|internal|scripts|test|web)/[\w*./-]+)`)
	// source is the ending of a file's name by which a word is a path also without a folder.
	source = regexp.MustCompile(`^[\w*./-]+\.(c|go|h|html|md|mjs|properties|py|sh|ts|yaml)$`)
)

// Every path of the repository that a document names exists. A * stands for any part of a name.
func TestPaths(t *testing.T) {
	for _, doc := range documents(t) {
		text := read(t, doc)
		folders := append([]string{".", filepath.Dir(doc)}, beside[doc]...)
		var paths []string
		for _, block := range fence.FindAllString(text, -1) {
			paths = append(paths, matches(inTree, block)...)
		}
		for _, word := range matches(code, fence.ReplaceAllString(text, "")) {
			if strings.HasPrefix(word, "/") || strings.Contains(word, "NAME") { // of a URL, and a placeholder
				continue
			}
			if inTree.MatchString(word) || source.MatchString(word) {
				paths = append(paths, word)
			}
		}
		for _, path := range paths {
			if !exists(path, folders) {
				t.Errorf("%s names %s, which does not exist", doc, path)
			}
		}
	}
}

// named is a file with the name of something that is declared in it.
var named = regexp.MustCompile("`([^`\\s]+\\.(?:go|ts))`\\s+\\(`(\\w+)`")

// Where a document names a function or a type beside its file, as in "internal/app/app.go (New)" with both in backticks, the
// file declares it.
func TestNames(t *testing.T) {
	found := 0
	for _, doc := range documents(t) {
		for _, m := range named.FindAllStringSubmatch(read(t, doc), -1) {
			found++
			declared := regexp.MustCompile(`(?m)^\s*(?:export )?(?:func (?:\([^)]*\) )?|type |const |var |interface |class )?` + m[2] + `\b`)
			if !declared.MatchString(read(t, m[1])) {
				t.Errorf("%s: %s does not declare %s", doc, m[1], m[2])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d names were found", found)
	}
}

// matches returns the first group of each match.
func matches(re *regexp.Regexp, text string) []string {
	var all []string
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.TrimRight(m[1], ".,"))
	}
	return all
}

// exists says whether a path leads to a file from one of the folders.
func exists(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		found, err := filepath.Glob(filepath.Join(root, folder, path))
		return err == nil && len(found) > 0
	})
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
)

// Every link to a file of the repository leads there, and to a heading in that file if it names one.
func TestLinks(t *testing.T) {
	for _, doc := range documents(t) {
		for _, target := range matches(link, fence.ReplaceAllString(read(t, doc), "")) {
			if strings.Contains(target, "://") {
				continue
			}
			path, anchor, _ := strings.Cut(target, "#")
			file := doc
			if path != "" {
				file = filepath.Join(filepath.Dir(doc), path)
			}
			if !exists(file, []string{"."}) {
				t.Errorf("%s links to %s, which does not exist", doc, target)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s links to %s: there is no such heading", doc, target)
			}
		}
	}
}

// anchors returns the names by which links lead to the headings of a document, as GitHub makes them.
func anchors(text string) []string {
	var all []string
	for _, title := range matches(heading, fence.ReplaceAllString(text, "")) {
		title = strings.ReplaceAll(strings.ToLower(title), " ", "-")
		all = append(all, regexp.MustCompile(`[^\w-]`).ReplaceAllString(title, ""))
	}
	return all
}

// The architecture's drawing has every package of the server.
func TestDrawing(t *testing.T) {
	_, drawing, _ := strings.Cut(read(t, "docs/architecture.md"), "```mermaid\n")
	drawing, _, found := strings.Cut(drawing, "```")
	if !found {
		t.Fatal("there is no drawing")
	}
	drawn := matches(inTree, drawing)
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		dir = filepath.ToSlash(dir)
		forTests := strings.HasPrefix(dir, "internal/testkit") || strings.HasSuffix(dir, "test") || strings.HasSuffix(dir, "/aacenc")
		if !forTests && !slices.Contains(drawn, dir) {
			t.Errorf("the drawing lacks %s", dir)
			drawn = append(drawn, dir) // said once
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The architecture's table tells of at least twenty changes where to begin, each by files.
func TestTableOfChanges(t *testing.T) {
	_, table, found := strings.Cut(read(t, "docs/architecture.md"), "| to change | open |\n| --- | --- |\n")
	if !found {
		t.Fatal("there is no table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(strings.TrimSpace(table), "\n")
	if len(rows) < 20 {
		t.Errorf("the table has %d rows, want 20 or more", len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(row, "|")
		if len(cells) != 4 {
			t.Errorf("%s: not two cells", row)
			continue
		}
		files := matches(code, cells[2])
		if len(files) == 0 {
			t.Errorf("%s: no file", row)
		}
		for _, file := range files {
			if info, err := os.Stat(filepath.Join(root, file)); err != nil || !info.Mode().IsRegular() {
				t.Errorf("%s: %s is no file", row, file)
			}
		}
	}
}

var (
	title  = regexp.MustCompile(`\A# (\d{4}): (.*)\n`)
	status = regexp.MustCompile(`(?m)^\*?Status: (\w+)`)
)

// The index of decisions has each of them once, in order, with its title and its status.
func TestIndexOfDecisions(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "docs/adr/[0-9]*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, file := range files {
		name := filepath.Base(file)
		if name == "0000-template.md" {
			continue
		}
		text := read(t, "docs/adr/"+name)
		heading, state := title.FindStringSubmatch(text), status.FindStringSubmatch(text)
		if heading == nil || state == nil || heading[1] != name[:4] {
			t.Errorf("%s: its first line is not \"# %s: title\", or it has no status", name, name[:4])
			continue
		}
		want = append(want, "| ["+heading[1]+"]("+name+") | "+heading[2]+" | "+state[1]+" |")
	}
	var got []string
	for line := range strings.Lines(read(t, "docs/adr/README.md")) {
		if cells := strings.SplitAfter(line, "|"); strings.HasPrefix(line, "| [") && len(cells) >= 4 {
			got = append(got, strings.Join(cells[:4], ""))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the index begins its lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
