package app

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"transponder/internal/config"
)

// docs/settings.md lists the settings that a reload applies, and they exist.
func TestReloadable(t *testing.T) {
	text, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(text), "internal/app/reload.go. -->")
	chapter, _, _ = strings.Cut(chapter, "All other settings")
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^- `(\\S+)`$").FindAllStringSubmatch(chapter, -1) {
		listed = append(listed, m[1])
	}
	keys := slices.Sorted(maps.Keys(reloadable))
	if !slices.Equal(listed, keys) {
		t.Errorf("docs/settings.md lists %q, want %q", listed, keys)
	}
	for _, key := range keys {
		if !slices.Contains(config.Keys(), key) {
			t.Errorf("%s is no setting", key)
		}
	}
}
