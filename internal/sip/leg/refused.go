package leg

// Refused counts datagrams that went no further, by cause.
type Refused struct {
	Stranger  int64 // did not come from the phone, or came long before anything was agreed on
	Type      int64 // payload type that was not agreed on
	Held      int64 // the phone agreed not to send
	SRTP      int64 // was not encrypted with the phone's key, or came again
	STUN      int64
	DTLS      int64
	Malformed int64 // none of the forms that media can have
}

// Add adds the counts of another leg or track.
func (r *Refused) Add(o Refused) {
	r.Stranger += o.Stranger
	r.Type += o.Type
	r.Held += o.Held
	r.SRTP += o.SRTP
	r.STUN += o.STUN
	r.DTLS += o.DTLS
	r.Malformed += o.Malformed
}

// Total returns the sum.
func (r Refused) Total() int64 {
	return r.Stranger + r.Type + r.Held + r.SRTP + r.STUN + r.DTLS + r.Malformed
}

// ByCause returns the counts under the names that metrics show.
func (r Refused) ByCause() map[string]int64 {
	return map[string]int64{
		"stranger": r.Stranger, "type": r.Type, "held": r.Held, "srtp": r.SRTP, "stun": r.STUN, "dtls": r.DTLS, "malformed": r.Malformed,
	}
}
