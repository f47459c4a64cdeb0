// Package picture converts the pictures of live streams to H.264 or VP8, in another size, frame rate or bit rate. It also makes
// snapshots of a stream, and still pictures for the time in which a stream has none.
//
// Transcoder.Feed returns a source's pictures as a Profile describes them. All users of one profile share one rendition. A rendition
// runs a child process (package worker), because codecs parse data from strangers: a crash or an attack stays in that child. The
// rendition starts another child when one dies. stream.Source runs the rendition's goroutine.
//
// Transcoder.Run measures what the renditions cost. From that, Transcoder.Admit decides whether the machine has room for one more.
//
// Stills encodes a picture file as one key frame.
package picture
