package picture

import (
	"errors"
	"log/slog"
	"testing"

	"transponder/internal/panics"
)

// A rendition that panics, here because it has no source, ends with an error.
func TestRenditionPanics(t *testing.T) {
	v, err := New(DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := &rendition{panics: &v.panics, log: v.log}
	if err := r.runSafely(t.Context(), nil); !errors.Is(err, panics.Err) || v.Panics() != 1 {
		t.Errorf("%v and %d panics", err, v.Panics())
	}
}
