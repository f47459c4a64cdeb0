// Package transponder pushes streams: a push reads one stream of the hub, publishes it to one RTMP address, and reports its state
// truthfully.
//
// A Registry holds all pushes and allows one push of a stream to an address. It runs each push in a goroutine and waits for all of them in
// Run. A push lives from its request to its end and makes one attempt after another, with the pauses of a Restore policy. Each connection is
// a link, which sends, reads and watches until the connection ends, and then says where the stream goes on. A dialer makes the
// connections; a TargetPolicy decides which addresses it may dial.
//
// A holder reads the stream for the push. While the stream has no publisher, a bridge makes pictures and silence. A push may have other
// sources to send when its stream fails: rules choose one, and a spare reads it in advance (spares.go). Packages sound and
// picture transcode what the server does not take as it is, H.264 is sent as it comes, and package rtmp writes the bytes.
//
// A push has one of a few states (machine.go). Each change of state is an event in the Journal, which REST and the web Hooks read.
//
// Locks that nest are taken in this order:
//
//   - push.moving, then push.saving, then push.mu, machine.mu, voice.mu, holder.mu, Journal.mu or the claim's lock, one after another
//   - push.mu, then outflow.mu
//   - holder.mu, then the locks of package stream (Feed.mu, then Reader.mu)
//   - voice.mu, then the lock of the sound files' Library
//
// Registry.mu and the other locks of this package are taken alone.
//
// The contract is the published one of Flashphoner Web Call Server, "Republish to another RTMP server".
package transponder
