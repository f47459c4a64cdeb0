package metrics

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Each metric in docs/operations.md is one of this package.
func TestOperationsDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`transponder_(\w+)`).FindAllStringSubmatch(string(text), -1)
	if len(names) < 5 {
		t.Fatalf("only %d metrics are named", len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(source), `desc("`+name[1]+`"`) {
			t.Errorf("%s is no metric", name[0])
		}
	}
}
