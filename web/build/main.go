// Command build bundles the pages of web/pages into web/dist, which package web embeds. Run it from the top of the tree as
// `go run ./web/build`, or by `go generate ./web`.
//
// Every NAME.html is a page, in subfolders too. If there is a NAME.ts beside the page, it is bundled with all its imports into
// NAME.js. So is every NAME-worker.ts, which a page starts as a worker, and every translation in the folder languages. A module that a page loads by import() becomes a file of its own beside
// the script of the page, see pieces.go. Style sheets are bundled in the same way. The builds of the SDK are written to the folder sdk, and the
// documentation to the folder docs, beside the pages. The scripts of the examples are there as they were written, too, for people who read them.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	dir := flag.String("dir", "web", "the folder that holds pages, sdk and dist")
	sdk := flag.String("sdk", "", "make only the SDK, in this folder")
	react := flag.String("react", "", "make only the React hooks, in this folder")
	reactExamples := flag.String("react-examples", "", "make only the examples of the React hooks, in this folder, for tests")
	docs := flag.String("docs", "", "make only the SDK's reference, in this document")
	site := flag.String("site", "", "make only the documentation, as files in this `FOLDER`, which is replaced")
	flag.Parse()
	var err error
	switch src := filepath.Join(*dir, "sdk", "src"); {
	case *sdk != "":
		err = writeSDK(src, *sdk)
	case *react != "":
		err = writeReact(*dir, *react)
	case *reactExamples != "":
		err = writeReactExamples(*dir, *reactExamples)
	case *docs != "":
		err = writeDocs(src, *docs)
	case *site != "":
		err = writeDocumentation(*dir, *site)
	default:
		err = build(*dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "web/build:", err)
		os.Exit(1)
	}
}

// build replaces the content of dist. It writes nothing if a page, the SDK or the documentation cannot be made.
func build(dir string) error {
	root, err := filepath.Abs(filepath.Join(dir, "pages"))
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
	builds, err := bundleSDK(filepath.Join(dir, "sdk", "src"), served)
	if err != nil {
		return err
	}
	for name, content := range builds {
		files[filepath.Join("sdk", name)] = content
	}
	if files[filepath.Join(examples, reactExample)], err = os.ReadFile(filepath.Join(dir, "react", examples, reactExample)); err != nil {
		return err
	}
	documents, err := documentation(dir, true)
	if err != nil {
		return err
	}
	if documents, err = compressed(documents); err != nil {
		return err
	}
	for name, content := range documents {
		files[filepath.Join("docs", name)] = content
	}
	return replace(filepath.Join(dir, "dist"), files)
}

// The translations of the pages are loaded at run time, one for each visitor. English stands in the pages themselves, and its file has only types.
var (
	languages = "languages"
	english   = filepath.Join(languages, "en.ts")
)

// The examples of the SDK, and the one for React, which needs React and so is no page of the server. All are shown as they were written.
const (
	examples     = "examples"
	reactExample = "studio.tsx"
)

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
		case ".ts":
			if strings.HasSuffix(name, "-worker.ts") || (filepath.Dir(name) == languages && name != english) {
				entries = append(entries, name)
			}
			if filepath.Dir(name) == examples {
				copied = append(copied, name)
			}
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
	files := make(map[string][]byte)
	for _, entry := range entries {
		made, err := bundlePage(root, entry)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry, err)
		}
		maps.Copy(files, made)
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
