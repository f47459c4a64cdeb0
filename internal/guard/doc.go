// Package guard refuses requests that a stranger's web page sends through the browser of a visitor, and connections of an address that
// already has its share. It does not authenticate anybody: a client that is not a browser is never refused for its page.
//
// A web page can reach a server that the author of the page cannot reach: one on the visitor's machine or in the visitor's network. The
// page can send forms and simple requests to any address without asking (CSRF). The author can also make the name of the page resolve to
// the address of this server (DNS rebinding); the page then has the same origin as this server. The rules are:
//
//   - Host: from this machine and from private networks, the Host header must be a name that no stranger can own.
//   - Page: a page of another host may not use the REST API, unless the settings name the origin of the page.
//   - Socket, Media: a page of another host may use the WebSocket, WHIP and WHEP, but not if the server is reached through this machine
//     or a private network.
//
// A browser names the page in the headers Origin and Sec-Fetch-Site, which scripts cannot change. Each door calls the methods for its
// requests; internal/app makes one Guard for all doors. Nothing here runs by itself.
package guard
