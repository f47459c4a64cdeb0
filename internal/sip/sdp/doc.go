// Package sdp reads and writes the session descriptions of SIP calls (RFC 8866), makes offers and answers (RFC 3264), and says what an
// offer and an answer agree on.
//
// The reader is lenient: phones, room systems and carriers send SDP that breaks the grammar, and one bad line must not cost the call. The
// writer is strict. SRTP keys are read and written by RFC 4568 (SDES). Sections with DTLS, such as those of browsers, are refused;
// package rtc reads the offers of browsers.
//
// It has no goroutine, no socket, no clock and no log.
package sdp
