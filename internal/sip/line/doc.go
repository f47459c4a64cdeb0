// Package line sends and receives the SIP messages of package dialog over UDP, TCP and TLS. It adds the field Via, finds addresses by DNS,
// repeats messages over UDP, matches responses to requests, and acknowledges every final response to an INVITE but 2xx. Whether a call or a
// registration exists, and what it does with a message, is decided elsewhere.
//
// Line.Run runs everything here and joins it. One goroutine owns all transactions and connections, so they need no lock; other goroutines
// only read and write sockets. Line opens no socket before it is needed, unless the settings say so.
//
// A message from a stranger costs next to nothing: the source must be known or welcome before a message is parsed, and a message that is
// dropped is only counted.
//
// Of sipgo only the parser is used (docs/adr/0020). Its transaction layer answers CANCEL and repeats 2xx on its own, which is the work of
// package dialog, and starts a goroutine for each message, so that a 200 can overtake a 180. Its transports keep an entry for each address
// that ever sent a datagram, and have no bound for connections.
//
// The specifications are RFC 3261 (SIP; transactions in section 17, transports in section 18), RFC 3263 (finding servers), RFC 3581 (rport),
// RFC 5626 (keeping connections alive, section 3.5.1), RFC 6026 (2xx to INVITE), RFC 8760 (digest).
package line
