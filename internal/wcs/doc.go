// Package wcs is the WebSocket door: the signalling of the Flashphoner Web SDK. Pages made for that SDK publish and play streams
// here without a change.
//
// A Server is an http.Handler that upgrades every request, whatever its path. A browser that says who it is gets a session. The
// server pings the browser. The browser publishes or plays a stream by one message with an offer, and is told the status of the
// stream until exactly one terminal status ends it. The name of a stream is free before its page is told that the stream has
// ended. The players are told after the publisher.
//
// The package leaves WebRTC to a PublishFunc and a PlayFunc, pictures of streams to a SnapshotFunc, and RTMP to a Pusher. It looks
// streams up in the hub.
//
// A page with a SIP account makes and takes calls by a Phone. Its media is a Duplex. The Phone belongs to a SIP server (PhoneFunc), or to
// package exchange, which connects pages that have no SIP server. Without a Phone, messages about calls are answered as the SDK expects
// it from a server without SIP. One goroutine for each call does everything in the order in which it was asked for.
//
// The streams and the calls of a session end at once when its socket ends, unless the page asked for keepAlive. Then the session survives for
// a while, and continues over a new socket that brings its authToken. After getUserData, the browser gets the terminal statuses
// that it missed, and then PUBLISHING or PLAYING again for each stream that is on, and the status of each call. A call that rings is
// announced again.
//
// Who a page is, an Access finds out from the token in the first message of the page, or from where the page is. A page without a token may
// come from this server only, where the browser could reach what the author of the page cannot. What a page may do is decided for each
// stream, before the name of the stream is looked up: a page cannot find out which streams there are. A token that comes with one stream
// counts for that stream alone. A page that returns to its session must be the one that began it.
//
// If the app of a page has a backend, Hooks asks it before the session, and before each stream and picture, on other goroutines than the one that reads
// the socket. The page may stop a stream meanwhile.
//
// The goroutine of the HTTP handler runs a socket and joins the goroutines of the socket. The handler of the last socket of a
// session also waits for the goroutines of the session. Shutdown ends all sessions and waits for them.
//
// The contract is the wire protocol of the npm package @flashphoner/websdk 2.0. Three things are added. A refusal has the member
// "reason", which says why in words. A page is told which keys the other
// side of a call pressed, by the message "notifyDtmf" with {"callId", "dtmf"}. And when the push to a stream's
// rtmpUrl cannot be started, or fails, the stream continues, and its page gets a stream event (notifyStreamEvent) of the type
// "pushFailed" with the payload {"info": "why, in words"}. The SDK hands event types that it does not know to the page.
package wcs
