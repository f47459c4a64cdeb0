package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"

	"transponder/web/build/site"
)

// documentation makes the pages of the documentation with their script and style sheet. dir is the folder web.
func documentation(dir string, served bool) (map[string][]byte, error) {
	files, err := site.Build(filepath.Join(dir, ".."), served)
	if err != nil {
		return nil, err
	}
	src, err := filepath.Abs(filepath.Join(dir, "docs"))
	if err != nil {
		return nil, err
	}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     src,
		EntryPoints:       []string{"docs.ts", "docs.css"},
		Outdir:            src, // only to name the outputs: nothing is written there
		Bundle:            true,
		Format:            api.FormatIIFE, // pages that are opened as files can load no modules
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		MinifySyntax:      true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		LegalComments:     api.LegalCommentsNone,
		LogLevel:          api.LogLevelWarning,
	})
	if len(result.Errors) > 0 {
		return nil, errors.New("the script of the documentation does not compile")
	}
	for _, out := range result.OutputFiles {
		files[filepath.Base(out.Path)] = out.Contents
	}
	files["icon.svg"], err = os.ReadFile(filepath.Join(dir, "pages", "icon.svg"))
	return files, err
}

// compressed returns the files as the server holds them: with gzip, which takes a quarter of the room in the program, and .gz at their names.
func compressed(files map[string][]byte) (map[string][]byte, error) {
	smaller := make(map[string][]byte, len(files))
	for name, content := range files {
		var out bytes.Buffer
		w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		smaller[name+".gz"] = out.Bytes()
	}
	return smaller, nil
}

// writeDocumentation writes the documentation as files for any web server.
func writeDocumentation(dir, to string) error {
	files, err := documentation(dir, false)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil { // pages of earlier builds
		return err
	}
	return writeFiles(to, files)
}
