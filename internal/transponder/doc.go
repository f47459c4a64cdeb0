// Package transponder is the push: it reads one stream of the hub and publishes it to one RTMP address, and says truthfully
// how that goes.
//
// A Registry holds all pushes; it alone knows the rule that one stream goes to one address once. It runs each push in a
// goroutine of its own and joins it. Sound is turned to AAC by the renditions of package transcode; pictures in H.264 go
// through untouched. The wire is left to package rtmp.
//
// A push is a machine of few states (machine.go) whose every step goes into the Journal, which REST and the web Hooks read. What
// happens after a loss is decided by a Restore policy, what is sent while the stream's publisher is away by a bridge, and where
// a push may go at all by the TargetPolicy, asked for each address that is dialled.
//
// Locks that nest are taken in this order:
//
//   - push.moving, then push.mu, machine.mu or Journal.mu, one after another
//   - push.mu, then outflow.mu
//   - holder.mu, then the locks of package stream (Feed.mu, then Reader.mu)
//   - voice.mu, then the lock of the sound files' Library
//
// Registry.mu and the other locks of this package are taken alone.
//
// The contract is the published one of Flashphoner Web Call Server, "Republish to another RTMP server".
package transponder
