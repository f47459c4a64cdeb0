package helmtest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestDocs: the values that the docs show are values that work.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 6 {
		t.Fatalf("the docs have %d blocks of values", len(blocks))
	}
	dir, kubernetes := chartCopy(t), loadKubernetes(t)
	for _, b := range blocks {
		objects, _, err := render(t, dir, "transponder", b[1])
		if err != nil {
			t.Errorf("%v with\n%s", err, b[1])
		}
		for _, o := range objects {
			kubernetes.check(t, o)
		}
	}
}
