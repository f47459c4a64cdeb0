// Package media holds the words that every other package shares: what a codec, a track, a frame and a moment of media time are.
//
// It leaves all work to others: no goroutine, no clock, no log, and it imports nothing of this module.
package media
