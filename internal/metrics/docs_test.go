package metrics

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each metric in docs/operations.md, docs/sip.md and docs/hooks.md is one of this package.
func TestOperationsDocument(t *testing.T) {
	read := func(files ...string) (text string) {
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text += string(b)
		}
		return text
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	source := read(files...)
	names := regexp.MustCompile(`\btransponder_(\w+)`).FindAllStringSubmatch(read("../../docs/operations.md", "../../docs/sip.md", "../../docs/hooks.md"), -1)
	if len(names) < 5 {
		t.Fatalf("only %d metrics are named", len(names))
	}
	for _, name := range names {
		if !strings.Contains(source, `desc("`+name[1]+`"`) {
			t.Errorf("%s is no metric", name[0])
		}
	}
}
