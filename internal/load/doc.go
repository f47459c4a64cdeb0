// Package load measures how much of the machine's processors the server uses, and decides whether there is room for more. A publisher, push
// or player beyond what the machine can carry would disturb everybody who is already connected.
//
// The hub asks a Gate before it takes a publisher; the pushes and the players ask the same Gate. Every refusal for lack of room is ErrFull,
// whether a setting or the Gate refuses, so that each door has one answer for it. internal/app makes the Gate and runs it.
package load
