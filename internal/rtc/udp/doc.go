// Package udp shares one UDP port among all WebRTC sessions, whatever package they belong to. Several sockets may be bound
// to the port (SO_REUSEPORT). Each socket has a buffer in the kernel, and one goroutine that empties it with recvmmsg.
//
// Each datagram goes to a User. The user name in a STUN check names the user (RFC 8445, 7.3); for other datagrams, the
// address of the sender does. The goroutine of the socket calls the user, and fires the socket's timers. So a user can do
// all its work there, without handing anything over; or it can take the datagram's buffer and work elsewhere. The
// goroutines run from Open to Close.
package udp
