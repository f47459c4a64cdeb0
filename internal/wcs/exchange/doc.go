// Package exchange connects calls between pages of this server that have no SIP server. A page is called by the login of its account;
// passwords are not looked at, because there is nobody who knows them. If a login is there more than once, the newest one rings.
//
// An Exchange has no goroutine: whoever calls a method of a Phone carries out what follows, events for other pages included. Only the
// timer of a call that nobody answers runs by itself. The media of both pages belongs to its door. The exchange plays the stream of each
// page to the other one.
package exchange
