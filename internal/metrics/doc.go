// Package metrics has the handlers by which a server is watched: figures for Prometheus, and health for programs that start and stop
// servers.
//
// It asks the parts for their figures at each scrape, and keeps none. Series have the names of streams and the ids of pushes as labels.
// Of an address they have the host only, since the rest may hold a stream key. New, Live and Ready return handlers, and start no goroutine.
package metrics
