// Package pion receives and sends WebRTC media through pion's PeerConnection. Its Endpoint is the rtc.Receiver that takes
// every offer, and the only rtc.Sender and rtc.Connector.
//
// All sessions share one UDP port (package udp) and, if asked for, one TCP port. Pion does ICE, DTLS, SRTP, transport-wide
// feedback and retransmissions to players. Pion sees only cleaned SDP of the client, and the client gets an answer or offer
// that we write (rtc.Answer, rtc.OwnOffer). Jitter buffer and NACK of received streams are rtc.JitterBuffer.
//
// Pion's goroutines do the work. Whoever makes an Endpoint closes it; Close ends and joins all sessions.
package pion
