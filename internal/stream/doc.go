// Package stream is the hub: named live streams, each with one publisher and any number of readers.
//
// A publisher writes whole frames to the feeds of its Source and is never blocked. A Reader reads one video feed and one audio feed through
// a bounded queue of its own. A reader that is too slow loses the ends of groups of pictures, which are counted, and disturbs nobody else.
//
// A name has one publisher at a time. Whether another one takes its place is decided by the rules of Takeover, and Asked keeps doors from asking somebody
// about two publishers of one name at a time.
//
// A rendition is a feed that is made from a source, once for all readers that want it: AAC from Opus, say, or smaller pictures. The source
// starts the goroutine of a rendition for its first user, and stops and joins the goroutine after its last.
//
// The hub asks publishers for key frames: at once for a new reader, and at an interval while a reader wants that. One request serves all
// readers. Hub.Run does the waiting; the part that made the hub runs it. Codecs and containers are left to other packages.
package stream
