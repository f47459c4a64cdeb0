// Package access decides who may do what. It has the words that all doors share, and one function, Decide, that all doors ask.
//
// A Principal is somebody who has shown who he is: by a token, a stored key, a password, a certificate, by the answer of an application
// backend, or because he is on this machine. A Principal has Grants. Decide compares the grants with an action and the object of the action.
// No door has rules of its own.
//
// The packages below this one make principals: auth asks all of them for a Credential, token reads JWTs and stored keys, people has users,
// passwords and logins, audit writes down what was decided. A Lease ends a session when its principal loses the right to it. Nothing here
// knows HTTP, RTMP or SIP. Nothing here runs by itself.
package access
