// Package lean receives publishers of H.264 and Opus or G.711 at half the cost of a PeerConnection. It is an rtc.Receiver
// of our own: an ICE-lite agent (RFC 8445, 2.5), a DTLS endpoint that agrees on keys (RFC 5764), SRTP, and RTCP feedback
// (RFC 3550, RFC 4585, transport-wide congestion control).
//
// Each datagram is processed to the end in the goroutine of the UDP socket on which it arrived: ICE, decryption, jitter
// buffer, and the sink, which must not block. Feedback runs on timers of the same goroutine. Each session has goroutines of
// its own only for DTLS, one of ours and those of pion's DTLS connection: they do the handshake, and then sleep until the
// session ends.
//
// Package pion serves what Receiver.Accepts refuses: other codecs, simulcast, and TCP. It also does all sending. Whoever
// makes a Receiver closes it; Close ends and joins all sessions.
package lean
