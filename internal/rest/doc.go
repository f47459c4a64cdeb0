// Package rest is the HTTP API under /rest-api. It starts, finds and ends pushes and SIP calls, and tells the events of pushes. It
// lists and ends streams, players, and sessions of the Web SDK. It says in words what is wrong with a request.
//
// The API follows the published contract of Flashphoner Web Call Server, and is as lenient as the clients of that contract need:
// success is always 200, an answer without content has no body, GET is allowed beside POST where no body is sent, and numbers and
// booleans may also be strings. The contract with all additions is api/openapi.yaml. The package leaves the work to the parts
// behind its interfaces, such as Pushes and Streams, and turns their errors into statuses in one function, outcome.
//
// New returns the handler for /rest-api/, and Stat the handler for /?action=stat. Neither starts a goroutine. The HTTP server that
// they are given to stops them, and calls Server.Close to end the requests that follow events.
package rest
