package main

import (
	"errors"
	"path"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

// The names of the SDK's builds. A module, and a script for a script tag, are in dist and in the npm package. The script has the name of
// the vendor's script, so that a page only has to change the address. CommonJS is in the npm package only.
// Each exists with calls, too, since most pages need none.
const (
	sdkModule   = "transponder.js"
	sdkScript   = "flashphoner.js"
	sdkCommonJS = "cjs/transponder.js"

	callsModule   = "transponder-calls.js"
	callsScript   = "flashphoner-calls.js"
	callsCommonJS = "cjs/transponder-calls.js"
)

// sdkBuild is one build of the SDK.
type sdkBuild struct {
	name, entry string
	format      api.Format
}

// served are the builds that pages load from a server; packaged are those of the npm package.
var (
	served = []sdkBuild{
		{sdkModule, "index.ts", api.FormatESModule},
		{sdkScript, "script.ts", api.FormatIIFE},
		{callsModule, "calls.ts", api.FormatESModule},
		{callsScript, "calls-script.ts", api.FormatIIFE},
	}
	packaged = append(served,
		sdkBuild{sdkCommonJS, "index.ts", api.FormatCommonJS},
		sdkBuild{callsCommonJS, "calls.ts", api.FormatCommonJS})
)

// bundleSDK makes builds from the sources in folder src.
func bundleSDK(src string, builds []sdkBuild) (map[string][]byte, error) {
	root, err := filepath.Abs(src)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, build := range builds {
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
			MangleProps:       "^_",                                       // members that are no part of the API, see web/sdk/README.md
			Outfile:           filepath.Join(root, path.Base(build.name)), // names the output and its map; api.Build writes no file
			Sourcemap:         api.SourceMapLinked,
			SourceRoot:        "src/",
			LogLevel:          api.LogLevelWarning, // esbuild prints each error with file and line
		})
		if len(result.Errors) > 0 {
			return nil, errors.New("the SDK does not compile")
		}
		for _, out := range result.OutputFiles {
			files[path.Join(path.Dir(build.name), filepath.Base(out.Path))] = out.Contents
		}
	}
	return files, nil
}

// writeSDK writes the builds of the npm package into a folder.
func writeSDK(src, dist string) error {
	files, err := bundleSDK(src, packaged)
	if err != nil {
		return err
	}
	// The package is of modules. This makes Node and TypeScript read the files beside it as CommonJS.
	files[path.Join(path.Dir(sdkCommonJS), "package.json")] = []byte(`{"type": "commonjs"}` + "\n")
	return writeFiles(dist, files)
}
