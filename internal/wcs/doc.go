// Package wcs is the WebSocket door: the signalling of the Flashphoner Web SDK, so that its pages publish and play
// streams here without a change.
//
// A Server is an http.Handler that upgrades every request, whatever its path. Each socket that says who it is has a session: the
// browser is pinged, publishes and plays streams by an offer in one message each and is told the status of each until exactly
// one terminal status ends it. A name is free before the browser hears of its stream's end, and the players of a stream hear
// of it after its publisher. The work of WebRTC is left to a PublishFunc and a PlayFunc, pictures of streams to a
// SnapshotFunc, RTMP to a Pusher; streams are looked up in the hub. SIP is answered as the SDK expects of a server without it.
//
// What a session made ends with its socket, at once, unless the page asked for keepAlive: then the session survives for a while,
// and a socket that brings its authToken goes on with it. After getUserData, its browser hears the terminal statuses that it
// missed, and PUBLISHING or PLAYING again of each stream that is on.
//
// The handler's goroutine runs a socket and joins its children; the last socket's also waits for the session's. Shutdown ends
// all sessions and waits for them.
//
// The contract is the wire protocol of npm's @flashphoner/websdk 2.0. One thing is added: when the push of a stream's rtmpUrl
// cannot be started or fails, the stream lives on and its page gets a stream event (notifyStreamEvent) of the type
// "pushFailed" with the payload {"info": "why, in words"}. The SDK hands types that it does not know to the page.
package wcs
