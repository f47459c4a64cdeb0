// Package rest is the HTTP API under /rest-api: it starts, finds and ends pushes, lists and ends streams, their players and the
// sessions of the signalling, and says in words what is wrong with a request.
//
// It follows the published contract of Flashphoner Web Call Server and is as lenient as that contract's clients need:
// exactly 200 on success, no body where there is nothing to say, GET beside POST where no body is sent, numbers and booleans
// also as strings. What a request means is decided by those who do the work, behind the interfaces Pushes and Streams; this
// package turns their errors into statuses, in one place. The contract is written down in api/openapi.yaml.
//
// New returns a handler for /rest-api/, Stat one for /?action=stat. Neither starts a goroutine; whoever serves HTTP stops
// them, and calls Server.Close for the requests that follow events.
package rest
