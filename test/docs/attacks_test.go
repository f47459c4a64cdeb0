package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/attacks.md names exists in the folder that it names, and so does each part of a test. Every row has a test, or says that
// there is none.
func TestAttacks(t *testing.T) {
	sources := map[string]string{}
	source := func(folder string) string {
		if text, ok := sources[folder]; ok {
			return text
		}
		var all strings.Builder
		for _, pattern := range []string{"*_test.go", "*.test.mjs"} {
			files, err := filepath.Glob(filepath.Join(root, folder, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				all.Write(text)
			}
		}
		sources[folder] = all.String()
		return sources[folder]
	}
	folder := regexp.MustCompile("`([a-z0-9_/]+)`: ([^`|]+?)(?:;|$)")
	tests := 0
	for line := range strings.Lines(read(t, "docs/attacks.md")) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		last := strings.TrimSpace(cells[len(cells)-1])
		if last == "tests" || last == "none" {
			continue
		}
		named := folder.FindAllStringSubmatch(last, -1)
		if len(named) == 0 {
			t.Errorf("a row names no test: %s", line)
		}
		for _, m := range named {
			for name := range strings.SplitSeq(m[2], ", ") {
				tests++
				name, part, _ := strings.Cut(strings.TrimSpace(name), "/")
				want := "func " + name + "("
				if strings.HasPrefix(name, `"`) {
					want = "test(" + name
				}
				if text := source(m[1]); !strings.Contains(text, want) || part != "" && !strings.Contains(text, `t.Run("`+part+`"`) {
					t.Errorf("%s has no test %s/%s", m[1], name, part)
				}
			}
		}
	}
	if tests < 150 {
		t.Errorf("%d tests are named: the page is not read", tests)
	}
}
