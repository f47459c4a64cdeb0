// Package web holds the pages that the server shows and bundles them into the binary.
//
// The pages are written in TypeScript under pages/. The command in build/ turns them into dist/ with esbuild, which is a Go
// library, so that building the server needs no Node. dist/ is not committed: after a plain `go build` of a fresh checkout it is
// empty, and package webui then shows how to build it. `make build` builds the pages and the server.
package web

import (
	"embed"
	"io/fs"
)

//go:generate go run ./build -dir .

// The prefix all: includes dist/.gitkeep, the only file before the pages are built.
//
//go:embed all:dist
var dist embed.FS

// Pages returns the bundled pages, with index.html at the top. Before they are built, it holds only .gitkeep.
func Pages() fs.FS {
	pages, err := fs.Sub(dist, "dist")
	if err != nil { // only for an invalid name
		panic(err)
	}
	return pages
}
