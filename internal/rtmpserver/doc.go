// Package rtmpserver is the RTMP server. Publishers become streams of the hub, and players get streams of the hub.
//
// The name of a stream is the published name without its query, whatever the application; or a stored key is published, whose record has the
// name. Access decides who may publish and play, and Hooks asks the backend of the client's application, which may rename the stream. A publisher is
// told that it may publish only after both have said yes.
//
// Pictures may be H.264, and in Enhanced RTMP also HEVC, AV1 or VP9. Sound may be AAC, G.711, Speex or MP3, and in Enhanced RTMP also Opus. Players
// get the pictures untouched, and AAC. A player gets codecs of Enhanced RTMP only if it has offered to take them. The package leaves the wire
// format to package rtmp, and making AAC to AudioRenditions.
//
// Server.Run owns the listener and a goroutine for each connection. All of them have ended when Run returns.
package rtmpserver
