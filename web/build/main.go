// Command build bundles the pages of web/pages into web/dist, which package web embeds. Run it from the top of the tree as
// `go run ./web/build`, or by `go generate ./web`.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

// The scripts and style sheets that pages ask for; what they import is bundled into them.
var entries = []string{"main.ts", "styles.css"}

// Copied as they are.
var static = []string{"index.html", "icon.svg"}

func main() {
	dir := flag.String("dir", "web", "the folder that holds pages and dist")
	flag.Parse()
	if err := build(filepath.Join(*dir, "pages"), filepath.Join(*dir, "dist")); err != nil {
		fmt.Fprintln(os.Stderr, "web/build:", err)
		os.Exit(1)
	}
}

// build replaces what dist holds. Nothing is written when a page does not compile.
func build(pages, dist string) error {
	files, err := bundle(pages)
	if err != nil {
		return err
	}
	for _, name := range static {
		if files[name], err = os.ReadFile(filepath.Join(pages, name)); err != nil {
			return err
		}
	}
	if err := prune(dist, files); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dist, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func bundle(pages string) (map[string][]byte, error) {
	root, err := filepath.Abs(pages)
	if err != nil {
		return nil, err
	}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     root,
		EntryPoints:       entries,
		Outdir:            root, // only to name the outputs: nothing is written there
		Bundle:            true,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		MinifySyntax:      true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		LegalComments:     api.LegalCommentsNone,
		LogLevel:          api.LogLevelWarning, // esbuild prints what is wrong, with its place
	})
	if len(result.Errors) > 0 {
		return nil, errors.New("the pages do not compile")
	}
	files := make(map[string][]byte)
	for _, out := range result.OutputFiles {
		files[filepath.Base(out.Path)] = out.Contents
	}
	return files, nil
}

// prune removes files of earlier builds that this one does not write.
func prune(dist string, keep map[string][]byte) error {
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	old, err := os.ReadDir(dist)
	if err != nil {
		return err
	}
	for _, file := range old {
		if _, kept := keep[file.Name()]; kept || file.Name() == ".gitkeep" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dist, file.Name())); err != nil {
			return err
		}
	}
	return nil
}
