// Package rtmp speaks RTMP 1.0 over a connection that it is handed: handshake, chunks, commands; Client publishes,
// ServerConn serves publishers and players.
//
// It starts no goroutine, looks at no clock and writes no log. Whoever owns the connection dials or accepts it, sets its
// deadlines and closes it; a closed connection is the only way out of a blocked call. Bodies of media messages are made by
// package flv, values of commands by package amf.
//
// A connection's Write is called by the goroutine that sends media and, for answers to pings, by the one that reads. So a
// write deadline must be set anew for each Write (a small type around net.Conn does that) or cleared after it.
//
// The specification is Adobe's Real Time Messaging Protocol, version 1.0.
package rtmp
