// Package testkit holds what tests of several packages need: a scripted RTMP server, publishers that speak WebRTC, and media
// to send. Nothing but tests imports it.
package testkit
