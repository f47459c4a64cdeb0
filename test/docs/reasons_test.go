package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Every word of the closed lists of the API has an entry in docs/troubleshooting.md, in the chapter for it, that says what to do. The entries of
// pushes also say where to look. An entry of a word that is gone is an error, too.
func TestTroubleshooting(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(root, "api/openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var api struct {
		Components struct {
			Schemas map[string]struct{ Enum []string }
		}
	}
	if err := yaml.Unmarshal(file, &api); err != nil {
		t.Fatal(err)
	}
	page := read(t, "docs/troubleshooting.md")
	for _, list := range []struct {
		schema, chapter string
		least           int
		says            []string
	}{
		{"PushReason", "Reasons of pushes", 30, []string{"**See:** ", "**Do:** "}},
		{"FindingCode", "Findings about a stream", 10, []string{"**Do:** "}},
		{"CallReason", "Reasons of calls", 10, []string{"**Do:** "}},
	} {
		_, chapter, found := strings.Cut(page, "\n## "+list.chapter+"\n")
		if !found {
			t.Fatalf("there is no chapter %q", list.chapter)
		}
		chapter, _, _ = strings.Cut(chapter, "\n## ")
		entries := map[string]string{}
		for _, m := range regexp.MustCompile("(?s)### `(\\w+)`\n(.*?)(?:\n#|$)").FindAllStringSubmatch(strings.ReplaceAll(chapter, "\n### ", "\n#\n### "), -1) {
			entries[m[1]] = m[2]
		}
		words := 0
		for _, word := range api.Components.Schemas[list.schema].Enum {
			if word == "" {
				continue
			}
			words++
			entry, ok := entries[word]
			if !ok {
				t.Errorf("%s: %q has no entry", list.chapter, word)
			}
			for _, part := range list.says {
				if ok && !strings.Contains(entry, part) {
					t.Errorf("%s: the entry of %q has no %s", list.chapter, word, part)
				}
			}
			delete(entries, word)
		}
		for word := range entries {
			t.Errorf("%s: the entry of %q is about no word of the list", list.chapter, word)
		}
		if words < list.least {
			t.Errorf("%s has %d words: the list is not read", list.schema, words)
		}
	}
}
