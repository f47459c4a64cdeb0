// Package udp shares one UDP port among all WebRTC peers, whichever receiver they belong to. Several sockets may have the port
// (SO_REUSEPORT), each with a buffer of its own in the kernel and one goroutine that empties it with recvmmsg.
//
// A datagram goes to a User: a STUN check names it (RFC 8445, 7.3), all else is known by the address that it comes from. The
// socket's goroutine calls the user, and its timers, so that who wants to can do all the work there, without a hand-off; who
// does not takes the datagram's buffer away. The goroutines run from Open to Close.
package udp
