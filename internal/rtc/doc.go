// Package rtc receives media from WebRTC publishers: an offer goes in, a stream of the hub comes out.
//
// A Receiver speaks WebRTC (package peer on pion's PeerConnection, package lean by itself) and hands ordered, whole media to a
// Sink. The rules that all receivers share live here: putting packets in order, gathering access units, asking for key
// frames, and laying audio and video on one clock. Ingest is what the doors use: it picks a receiver for an offer, reserves
// the name in the hub, and says how the publication ended.
//
// RTP payloads follow RFC 6184 (H.264), RFC 7587 (Opus) and RFC 3551 (G.711); clocks follow RFC 3550, 6.4.1.
package rtc
