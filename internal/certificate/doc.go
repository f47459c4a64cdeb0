// Package certificate has the server's TLS certificates: from files, which are read again when they change, from an authority by ACME, or
// made by the server itself.
package certificate
