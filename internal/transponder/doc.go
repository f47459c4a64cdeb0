// Package transponder is the push: it reads one stream of the hub and publishes it to one RTMP address, and says truthfully
// how that goes.
//
// A Registry holds all pushes; it alone knows the rule that one stream goes to one address once. It runs each push in a
// goroutine of its own and joins it. Sound is turned to AAC by the renditions of package transcode; pictures in H.264 go
// through untouched. The wire is left to package rtmp.
//
// The contract is the published one of Flashphoner Web Call Server, "Republish to another RTMP server".
package transponder
