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

	// What stands on the core. These load the build of the core, so that a page has it once.
	controllersModule   = "transponder-controllers.js"
	controllersCommonJS = "cjs/transponder-controllers.js"
	elementsModule      = "transponder-elements.js"
	elementsCommonJS    = "cjs/transponder-elements.js"
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
		{controllersModule, "controllers.ts", api.FormatESModule},
		{elementsModule, "elements.ts", api.FormatESModule},
	}
	packaged = append(served,
		sdkBuild{sdkCommonJS, "index.ts", api.FormatCommonJS},
		sdkBuild{callsCommonJS, "calls.ts", api.FormatCommonJS},
		sdkBuild{controllersCommonJS, "controllers.ts", api.FormatCommonJS},
		sdkBuild{elementsCommonJS, "elements.ts", api.FormatCommonJS})
)

// standsOn makes the modules on the core load the builds of the modules that they stand on, instead of bundling them.
var standsOn = api.Plugin{Name: "stands-on", Setup: func(build api.PluginBuild) {
	build.OnResolve(api.OnResolveOptions{Filter: `^\./(index|controllers)\.ts$`}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
		if args.Kind == api.ResolveEntryPoint {
			return api.OnResolveResult{}, nil
		}
		loaded := map[string]string{"./index.ts": sdkModule, "./controllers.ts": controllersModule}
		return api.OnResolveResult{Path: "./" + loaded[args.Path], External: true}, nil
	})
}}

// bundleSDK makes builds from the sources in folder src.
func bundleSDK(src string, builds []sdkBuild) (map[string][]byte, error) {
	root, err := filepath.Abs(src)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, build := range builds {
		var plugins []api.Plugin
		if build.entry == "controllers.ts" || build.entry == "elements.ts" {
			plugins = append(plugins, standsOn)
		}
		result := api.Build(api.BuildOptions{
			Plugins:           plugins,
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
