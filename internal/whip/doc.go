// Package whip is the door for WHIP clients (RFC 9725), such as OBS and GStreamer, and for WHEP players (draft-ietf-wish-whep): an
// offer is posted to /whip/NAME, and the stream of that name lives until its session is deleted or its media ends; or to /whep/NAME,
// and the stream of that name is played as long.
//
// It leaves WebRTC to package rtc. Each session runs in a goroutine of the Server, which joins it in Close.
package whip
