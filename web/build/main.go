// Command build bundles the pages of web/pages into web/dist, which package web embeds. Run it from the top of the tree as
// `go run ./web/build`, or by `go generate ./web`.
//
// Every NAME.html is a page, in subfolders too. If there is a NAME.ts beside the page, it is bundled with all its imports into
// NAME.js. Style sheets are bundled in the same way. The builds of the SDK are written to the folder sdk, beside the pages.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	dir := flag.String("dir", "web", "the folder that holds pages, sdk and dist")
	sdk := flag.String("sdk", "", "make only the SDK, in this folder")
	docs := flag.String("docs", "", "make only the SDK's reference, in this document")
	flag.Parse()
	var err error
	switch src := filepath.Join(*dir, "sdk", "src"); {
	case *sdk != "":
		err = writeSDK(src, *sdk)
	case *docs != "":
		err = writeDocs(src, *docs)
	default:
		err = build(filepath.Join(*dir, "pages"), src, filepath.Join(*dir, "dist"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "web/build:", err)
		os.Exit(1)
	}
}

// build replaces the content of dist. It writes nothing if a page or the SDK does not compile.
func build(pages, sdk, dist string) error {
	root, err := filepath.Abs(pages)
	if err != nil {
		return err
	}
	copied, entries, err := list(root)
	if err != nil {
		return err
	}
	files, err := bundle(root, entries)
	if err != nil {
		return err
	}
	for _, name := range copied {
		if files[name], err = os.ReadFile(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	builds, err := bundleSDK(sdk, served)
	if err != nil {
		return err
	}
	for name, content := range builds {
		files[filepath.Join("sdk", name)] = content
	}
	return replace(dist, files)
}

// list names the files to copy, and the files to bundle.
func list(root string) (copied, entries []string, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch filepath.Ext(name) {
		case ".html":
			script := strings.TrimSuffix(name, ".html") + ".ts"
			if _, err := os.Stat(filepath.Join(root, script)); err == nil {
				entries = append(entries, script)
			}
			copied = append(copied, name)
		case ".svg":
			copied = append(copied, name)
		case ".css":
			entries = append(entries, name)
		}
		return nil
	})
	return copied, entries, err
}

func bundle(root string, entries []string) (map[string][]byte, error) {
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     root,
		EntryPoints:       entries,
		Outdir:            root, // only to name the outputs: nothing is written there
		Outbase:           root,
		Bundle:            true,
		External:          []string{"/sdk/*"}, // the examples load the SDK at run time, as pages of other servers do
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		MinifySyntax:      true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		LegalComments:     api.LegalCommentsNone,
		LogLevel:          api.LogLevelWarning, // esbuild prints each error with file and line
	})
	if len(result.Errors) > 0 {
		return nil, errors.New("the pages do not compile")
	}
	files := make(map[string][]byte)
	for _, out := range result.OutputFiles {
		name, err := filepath.Rel(root, out.Path)
		if err != nil {
			return nil, err
		}
		files[name] = out.Contents
	}
	return files, nil
}

// replace writes the files, and removes the files of earlier builds.
func replace(dist string, files map[string][]byte) error {
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	old, err := os.ReadDir(dist)
	if err != nil {
		return err
	}
	for _, entry := range old {
		if _, kept := files[entry.Name()]; kept || entry.Name() == ".gitkeep" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dist, entry.Name())); err != nil {
			return err
		}
	}
	return writeFiles(dist, files)
}

func writeFiles(dir string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
