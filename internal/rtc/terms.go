package rtc

import (
	"slices"

	"transponder/internal/media"
)

// Terms say what a call may have.
type Terms struct {
	// Kinds of media; sections of another kind are refused, or not offered. Empty: sound and pictures.
	Kinds []media.Kind
	// Prefer has the codecs of the other side of the call, the best first: then nothing needs to be transcoded.
	Prefer []media.Codec
}

// has says whether the call may have media of a kind.
func (t Terms) has(k media.Kind) bool { return len(t.Kinds) == 0 || slices.Contains(t.Kinds, k) }

// order returns the place of a codec in the order of preference: 0 is the best. Codecs that the terms do not name come last.
func (t Terms) order(c media.Codec) int {
	if i := slices.Index(t.Prefer, c); i >= 0 {
		return i
	}
	return len(t.Prefer)
}
