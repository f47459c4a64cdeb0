// Package client calls the REST interface of Transponder from Go.
//
// The types and the methods are made from api/openapi.yaml: one type for each schema, one method for each operation, with the same names and the
// same words. A request has pointers where a value that is absent means something else than zero: FullURL: new(true).
//
// All methods may be called by several goroutines at the same time. Each request ends with its context, at the latest after a minute; Events
// goes on until its context ends. An answer that is no success is an *Error.
package client

//go:generate go run ./generate/write
