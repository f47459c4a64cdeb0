// Package whip is the door for WHIP clients (RFC 9725), such as OBS and GStreamer: an offer is posted to /whip/NAME, and
// the stream of that name lives until its session is deleted or its media ends.
//
// It leaves WebRTC to package rtc. Each publication runs in a goroutine of the Server, which joins it in Close.
package whip
