// Package guard turns away what web pages of strangers ask of this server through their visitors' browsers, and what one address
// takes beyond its share. It is no authentication: clients that are no browsers are never asked for anything here.
//
// A page reaches a server that its author cannot reach: on the visitor's own machine, or in the visitor's network. It can send
// forms and simple requests to any address without asking (CSRF). It can also have its own name resolved to the address of this
// server (DNS rebinding), and is then of the same origin as this server. The rules are:
//
//   - Host: from this machine and from private networks the Host header must be a name that no stranger can own.
//   - Page: a page of another host may not use the REST API, unless the settings name its origin.
//   - Socket, Media: a page of another host may use a WebSocket, WHIP and WHEP, but not where the server is reached through this
//     machine or a private network.
//
// Browsers tell the page in the headers Origin and Sec-Fetch-Site, which scripts cannot change.
package guard
