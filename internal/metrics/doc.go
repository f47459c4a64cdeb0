// Package metrics shows what the server does to those who watch it: figures for Prometheus, and health for whoever starts and
// stops servers.
//
// It asks the parts for their figures when it is asked itself, and keeps none. Streams and pushes are labelled with names and
// ids, never with addresses: those hold stream keys. New, Live and Ready return handlers; they start no goroutine.
package metrics
