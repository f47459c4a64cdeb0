// Package web holds the pages that the server shows and bundles them into the binary.
//
// The pages are written in TypeScript under pages/. The command in build/ turns them into dist/ with esbuild, which is a Go
// library, so that building the server needs no Node. What it writes is not committed: a checkout that was only compiled,
// with plain `go build`, has an empty dist/, and package webui then says how to make it. `make build` does both.
package web

import (
	"embed"
	"io/fs"
)

//go:generate go run ./build -dir .

// all: lets the pattern match dist/.gitkeep, which is all there is before the pages were built.
//
//go:embed all:dist
var dist embed.FS

// Pages returns the bundled pages, index.html at the top. It is empty, .gitkeep aside, when they were not built.
func Pages() fs.FS {
	pages, err := fs.Sub(dist, "dist")
	if err != nil { // only for a name that is not valid
		panic(err)
	}
	return pages
}
