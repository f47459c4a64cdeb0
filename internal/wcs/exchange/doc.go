// Package exchange connects calls between pages of this server that have no SIP server. A page is called by the login of its account;
// passwords are not checked, because the server knows none. If several pages have the same login, the newest one rings.
//
// An Exchange starts no goroutine. The goroutine that calls a method of a Phone also calls the events that follow, for other pages too. Only the
// timer of a call that nobody answers runs in a goroutine of its own. The door (package wcs) owns the media of the pages. The exchange plays the
// stream of each page to the other one.
package exchange
