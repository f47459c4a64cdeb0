package main

import (
	"errors"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

// writeReact writes the module of the npm package transponder-react into a folder. dir is the folder web.
func writeReact(dir, dist string) error {
	return bundleReact(dir, dist, "src/index.ts", api.BuildOptions{External: []string{"react", "transponder-sdk"}, Sourcemap: api.SourceMapLinked})
}

// writeReactExamples writes a script of the examples with everything that they need, React included, for tests.
func writeReactExamples(dir, dist string) error {
	return bundleReact(dir, dist, "examples/index.tsx", api.BuildOptions{
		Alias: map[string]string{
			"transponder-react":           "./src/index.ts",
			"transponder-sdk/controllers": "../sdk/src/controllers.ts",
		},
		NodePaths: []string{filepath.Join(dir, "../test/e2e/browser/node_modules")},
		Define:    map[string]string{"process.env.NODE_ENV": `"development"`}, // StrictMode mounts twice there
	})
}

func bundleReact(dir, dist, entry string, options api.BuildOptions) error {
	root, err := filepath.Abs(filepath.Join(dir, "react"))
	if err != nil {
		return err
	}
	for i, path := range options.NodePaths {
		if options.NodePaths[i], err = filepath.Abs(path); err != nil {
			return err
		}
	}
	options.AbsWorkingDir = root
	options.EntryPoints = []string{entry}
	options.Bundle = true
	options.Format = api.FormatESModule
	options.Target = api.ES2020
	options.Charset = api.CharsetUTF8
	options.JSX = api.JSXAutomatic
	options.LegalComments = api.LegalCommentsNone
	options.Outfile = filepath.Join(root, "index.js") // only to name the output: nothing is written there
	options.SourceRoot = "src/"
	options.LogLevel = api.LogLevelWarning
	result := api.Build(options)
	if len(result.Errors) > 0 {
		return errors.New("the hooks do not compile")
	}
	files := make(map[string][]byte)
	for _, out := range result.OutputFiles {
		files[filepath.Base(out.Path)] = out.Contents
	}
	return writeFiles(dist, files)
}
