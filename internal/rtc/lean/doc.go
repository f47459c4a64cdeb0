// Package lean receives publishers of H.264 and Opus or G.711 at half of what a PeerConnection costs. It is an rtc.Receiver
// of our own: an ICE-lite agent (RFC 8445, 2.5), a DTLS endpoint for the keys (RFC 5764), SRTP decrypted where it was read, and
// feedback (RFC 3550, RFC 4585, transport-wide congestion control) by timers of the same goroutine.
//
// A datagram is dealt with to its end in the goroutine of the socket that it came in by: nothing is handed on before a whole
// access unit is in the sink, which must not block. Only DTLS has goroutines of its own, and they sleep once there are keys.
//
// What it does not take, see Receiver.Accepts, is for package peer: other codecs, simulcast, TCP, playing out.
package lean
