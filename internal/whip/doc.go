// Package whip is the door for WHIP publishers (RFC 9725), such as OBS and GStreamer, and for WHEP players (draft-ietf-wish-whep). A
// publisher posts an offer to /whip/NAME, and a player to /whep/NAME. The session lasts until the client deletes it or its media ends.
//
// The package leaves WebRTC to package rtc. Each session runs in a goroutine of the Server. Close ends them all and waits for them.
package whip
