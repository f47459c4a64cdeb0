// Package wcs is the WebSocket door: the signalling of the Flashphoner Web SDK, so that its pages publish streams here
// without a change.
//
// A Server is an http.Handler that upgrades every request, whatever its path. Each socket is a session: the browser says who
// it is, is pinged, publishes streams by an offer in one message and is told the status of each until exactly one terminal
// status ends it. A name is free before the browser hears of its stream's end. What a session made ends with its socket, at
// once: the SDK's keepAlive, which lets a browser come back to its session, is not offered. The work of WebRTC is left to a
// PublishFunc, that of RTMP to a Pusher; streams are looked up in the hub. Playing, SIP and snapshots are answered as the SDK
// expects of a server without them.
//
// The handler's goroutine runs a session and joins its children; Shutdown ends all sessions and waits for them.
//
// The contract is the wire protocol of npm's @flashphoner/websdk 2.0. One thing is added: when the push of a stream's rtmpUrl
// cannot be started or fails, the stream lives on and its page gets a stream event (notifyStreamEvent) of the type
// "pushFailed" with the payload {"info": "why, in words"}. The SDK hands types that it does not know to the page.
package wcs
