// Package rtmpserver is the RTMP port: it takes publishes as streams of the hub and serves the hub's streams to players.
//
// A publish becomes the stream of its name, whatever the application and without the name's query; there is no
// authentication here. Pictures may be H.264 and, in Enhanced RTMP, HEVC, AV1 or VP9; sound AAC, G.711, Speex, MP3 or, in
// Enhanced RTMP, Opus. Players get the pictures as they are, those of Enhanced RTMP if they have offered to take them, and
// AAC. The wire is left to package rtmp, the making of AAC to whoever is handed in as AudioRenditions.
//
// Server.Run owns the listener and a goroutine for each connection, and joins them all before it returns.
package rtmpserver
