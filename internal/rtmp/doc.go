// Package rtmp speaks RTMP 1.0 over a connection of the caller: handshake, chunks, commands. Client publishes; ServerConn serves publishers
// and players.
//
// The package starts no goroutine, reads no clock and writes no log. The caller dials or accepts the connection, sets deadlines and closes
// the connection, which is the only way to end a blocked call. Package flv makes the bodies of media messages, package amf the values of
// commands.
//
// Two goroutines call Write of a connection: the one that sends media and, for answers to pings, the one that reads. So a write deadline
// must be set again for each Write (a small type around net.Conn does that), or cleared after it.
//
// The specification is the Real Time Messaging Protocol of Adobe, version 1.0.
package rtmp
