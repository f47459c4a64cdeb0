package docs

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// mention is a document, and perhaps a heading in it, in a message of the program, in a comment or in a file of the package.
	mention = regexp.MustCompile(`\bdocs/[\w/-]+\.md(?:#([\w-]+))?`)
	// address is a page of the documentation as a server shows it.
	address = regexp.MustCompile(`["' (]/docs/([\w/-]*)(?:\.html)?(?:#([\w.-]+))?`)
)

// speaking are the kinds of files in which people read of documents.
var speaking = []string{".go", ".html", ".json", ".mjs", ".properties", ".service", ".sh", ".ts", ".yaml", ".yml"}

// Every document that the program, its files and its tests name exists, with the heading that they name.
func TestMentions(t *testing.T) {
	found := 0
	headings := map[string][]string{} // by document
	check := func(file, doc, anchor string) {
		found++
		if !exists(doc, []string{"."}) {
			t.Errorf("%s names %s, which does not exist", file, doc)
			return
		}
		if headings[doc] == nil {
			headings[doc] = anchors(read(t, doc))
		}
		if anchor != "" && !slices.Contains(headings[doc], anchor) {
			t.Errorf("%s names %s#%s: there is no such heading", file, doc, anchor)
		}
	}
	for _, folder := range []string{"api", "cmd", "deploy", "internal", "scripts", "test", "web", "flashphoner.properties"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if name := entry.Name(); entry.IsDir() && (name == "node_modules" || name == "dist" || name == "testdata" || name == ".build" || name == "site") {
				return filepath.SkipDir // not ours, made from the documents, or about documents that a test invents
			}
			if entry.IsDir() || !slices.Contains(speaking, filepath.Ext(path)) {
				return nil
			}
			file, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			text := read(t, file)
			if !strings.Contains(text, "docs/") { // the patterns are slow
				return nil
			}
			for _, m := range mention.FindAllStringSubmatch(text, -1) {
				doc, _, _ := strings.Cut(m[0], "#")
				if !strings.Contains(doc, "NAME") {
					check(file, doc, m[1])
				}
			}
			for _, m := range address.FindAllStringSubmatch(text, -1) {
				doc := "docs/" + m[1] + ".md"
				switch {
				case m[1] == "" || strings.HasSuffix(m[1], "/"):
					doc = "docs/" + m[1] + "README.md"
				case m[1] == "every-setting":
					if !strings.Contains(read(t, "flashphoner.properties"), "\n"+m[2]+"=") {
						t.Errorf("%s names the setting %s, which does not exist", file, m[2])
					}
					continue
				}
				if !strings.HasSuffix(file, "_test.go") {
					check(file, doc, m[2])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 100 {
		t.Errorf("only %d documents are named", found)
	}
}
