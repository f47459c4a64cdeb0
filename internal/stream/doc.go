// Package stream is the hub: named live streams, each with one publisher and any number of readers.
//
// A publisher writes whole frames to the feeds of its Source and is never blocked. A Reader takes frames from one video and
// one audio feed through its own bounded queue; a reader that is too slow loses whole GOP tails, counted, and disturbs nobody
// else. What is made from a source once for all readers (AAC from Opus, a smaller picture) is a rendition: a feed with a
// goroutine that the source starts for its first user and joins after its last.
//
// The hub asks publishers for key frames: at once for a new reader, at an interval while a reader wants that, one request
// for all of them. Hub.Run does the waiting; whoever made the hub runs it. Codecs and containers are left to others.
package stream
