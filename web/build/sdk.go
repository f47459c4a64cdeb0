package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

// The names of the SDK's two builds, in dist and in the npm package: a module, and a script for a script tag. The script has the
// name of the vendor's script, so that a page only has to change the address.
const (
	sdkModule = "transponder.js"
	sdkScript = "flashphoner.js"
)

// bundleSDK makes both builds from the sources in folder src.
func bundleSDK(src string) (map[string][]byte, error) {
	root, err := filepath.Abs(src)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, build := range []struct {
		name, entry string
		format      api.Format
	}{
		{sdkModule, "index.ts", api.FormatESModule},
		{sdkScript, "script.ts", api.FormatIIFE},
	} {
		result := api.Build(api.BuildOptions{
			AbsWorkingDir:     root,
			EntryPoints:       []string{build.entry},
			Bundle:            true,
			Format:            build.format,
			Target:            api.ES2020, // pages may support older browsers than ours do
			Charset:           api.CharsetUTF8,
			MinifySyntax:      true,
			MinifyWhitespace:  true,
			MinifyIdentifiers: true,
			LegalComments:     api.LegalCommentsNone,
			MangleProps:       "^_",                            // members that are no part of the API, see web/sdk/README.md
			Outfile:           filepath.Join(root, build.name), // names the output and its map; api.Build writes no file
			Sourcemap:         api.SourceMapLinked,
			SourceRoot:        "src/",
			LogLevel:          api.LogLevelWarning, // esbuild prints each error with file and line
		})
		if len(result.Errors) > 0 {
			return nil, errors.New("the SDK does not compile")
		}
		for _, out := range result.OutputFiles {
			files[filepath.Base(out.Path)] = out.Contents
		}
	}
	return files, nil
}

// writeSDK writes both builds into a folder, for the npm package.
func writeSDK(src, dist string) error {
	files, err := bundleSDK(src)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dist, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
