// Package leg moves the media of SIP calls: the RTP and RTCP between us and one phone. A Leg belongs to one call; Legs has what all calls
// share: the range of ports, the buffers for reading, and the ticker that sends.
//
// The phone's media goes through a jitter buffer into a stream (package rtc), byte for byte. The phone gets silence until the owner of the
// call plays a stream or a file to it. The leg follows the agreements that package sdp makes of offers and answers, and reports what
// happens through Events; it knows nothing of SIP messages.
//
// Anybody can send to an open port. So a leg takes packets from one address only (see latch), sends little to an address from which nothing
// ever came (see allowance), and counts what it refuses.
//
// The owner runs Legs.Run once, and Leg.Run for each call. The specifications are RFC 3550 (RTP), RFC 4733 (digits), RFC 4585 and RFC 5104
// (requests for key frames), RFC 4568 with RFC 3711 (SRTP), RFC 7983 (what a datagram is).
package leg
