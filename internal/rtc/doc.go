// Package rtc connects WebRTC clients with streams of the hub, in both directions.
//
// Ingest receives: it takes an offer to send, lets a Receiver answer it, and writes the client's media to a new stream of
// the hub. A Receiver speaks WebRTC (package lean by itself, package pion through pion's PeerConnection) and hands ordered,
// whole media to a Sink. The rules that all receivers share are here: JitterBuffer puts packets in order and asks for
// missing ones, assemblers join packets into access units, and a clock places audio and video on one timeline.
//
// Egress plays: it takes an offer to receive, chooses codecs, and sends a stream's frames through a Sender (package pion).
// The Playback cuts frames into RTP packets, outlives a publisher that comes back, and switches to a transcoded feed if the
// client cannot play the stream's own.
//
// Duplexes makes the WebRTC side of calls: it answers an offer of media both ways, or makes one, over a Connector (package
// pion). What the client sends goes the way of a publication, into a private stream. What the client gets is sent as to a
// player, from the source that Play names.
//
// Offers are parsed, and answers written, here (ParsedOffer, Answer, OwnOffer). The doors (packages wcs and whip) use Ingest
// and Egress, and run each Publication and Playback that they get: its Run ends and joins everything that belongs to it. So
// does the owner of a Duplex. Whoever makes receivers, senders and connectors closes them.
//
// Phones send and receive RTP without WebRTC. Package leg does that with the same parts: JitterBuffer and Frames for what
// comes, Packetizer, SoundCutter and RTPClock for what goes.
//
// RTP payloads follow RFC 6184 (H.264), RFC 7741 (VP8), RFC 9628 (VP9), RFC 7798 (HEVC), the AV1 RTP specification, RFC
// 7587 (Opus), RFC 5574 (Speex) and RFC 3551 (G.711 and G.722). Clocks follow RFC 3550, 6.4.1; offers and answers RFC 9429.
package rtc
