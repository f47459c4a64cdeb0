package sip

import (
	"cmp"

	"transponder/internal/stream"
)

// hears is what the phone of a call hears and sees.
type hears struct {
	source *stream.Source // nil: silence
	stream string         // name of source, if source is an injected stream
	sound  string         // the injected sound file, which is heard in place of source; "": none
}

// injected returns the name of what was injected, "" if nothing was.
func (h hears) injected() string { return cmp.Or(h.sound, h.stream) }

// pageSide is what the page at our end of a call has got and given. It stays empty in a call without a page.
type pageSide struct {
	media Media  // nil before Connect and Answer
	rings bool   // an incoming call rings at the page
	offer []byte // the phone's offer, while the call rings
	told  bool   // the page knows the codecs of an outgoing call
}

// hold is who holds the phone: what the page wants, and what the phone has agreed to.
type hold struct {
	wanted   bool // the page wants the phone on hold
	agreed   bool // the phone has agreed to be on hold
	changing bool // an offer about that has no answer yet
}

// ask notes what the page wants. An offer to the phone follows.
func (h *hold) ask(on bool) { h.wanted, h.changing = on, true }

// answered notes that the phone has agreed.
func (h *hold) answered() { h.changing, h.agreed = false, h.wanted }

// refused notes that the phone has refused.
func (h *hold) refused() { h.changing, h.wanted = false, h.agreed }
