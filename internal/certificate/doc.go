// Package certificate has the certificates of the server's TLS ports: from files, which are read again when they change, from an authority by
// ACME (RFC 8555), or made by the server itself. It also says which client certificates are asked for.
//
// internal/app makes one Keeper for all ports. Its Run watches the files and orders certificates; without Run, what New has loaded is served.
package certificate
