// Package whip is the door for WHIP publishers (RFC 9725), such as OBS and GStreamer, and for WHEP players (draft-ietf-wish-whep). A
// publisher posts an offer to /whip/NAME, and a player to /whep/NAME. The session lasts until the client deletes it or its media ends.
//
// Access decides who may publish and play: before the body is read, and before the name of the stream is looked up. Of what a request shows, only
// tokens count, since browsers send passwords, cookies and certificates for the pages of strangers, too. A session belongs to whoever began it.
// Hooks asks the backend of the client's application, which may rename a stream.
//
// The package leaves WebRTC to package rtc. Each session runs in a goroutine of the Server. Close ends them all and waits for them.
package whip
