package rest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"transponder/internal/transponder"
)

// The API's description names the pauses that a request may ask for.
func TestDescriptionShowsPauses(t *testing.T) {
	text, err := os.ReadFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pause := transponder.RestorePauseRange
	want := fmt.Sprintf("%d to %d", pause.Min.Milliseconds(), pause.Max.Milliseconds())
	for _, member := range []string{"firstPauseMs:", "maxPauseMs:"} {
		_, after, _ := strings.Cut(string(text), "\n                "+member)
		if description, _, _ := strings.Cut(after, "Ms:"); !strings.Contains(description, want) {
			t.Errorf("%s says %q, want %q in it", member, description, want)
		}
	}
}
