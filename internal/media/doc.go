// Package media defines the types that all other packages share: codecs, tracks, frames and media time. It also reads and writes the formats
// of frames and of decoder configurations.
//
// It has no goroutine, no clock and no log, and imports no other package of this module.
package media
