// Package testkit holds what tests of several packages need: a scripted RTMP server, publishers and players that speak WebRTC, a relay
// that loses packets, media to send, and polling. Only tests import it. Package phone below it is a scripted SIP phone.
package testkit
