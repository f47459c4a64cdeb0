package main

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// pieces is the namespace of the modules that a page loads by import().
const pieces = "piece"

// bundlePage bundles one page, worker or style sheet into one file, and each module that the page loads by import() into another.
//
// By itself, esbuild moves what two files share to a third. A page would then need a second request before it does anything, and a piece
// could fail in a file that nothing tries to load again. So each piece imports the whole page here. Then all that the page and its pieces share is
// in the file of the page, which the browser has. The name of a piece holds a hash of the piece and of the page: a piece of
// another build has another name, and is not found.
func bundlePage(root, entry string) (map[string][]byte, error) {
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     root,
		EntryPoints:       []string{entry},
		Outdir:            root, // only to name the outputs: nothing is written there
		Outbase:           root,
		Bundle:            true,
		Splitting:         true,
		ChunkNames:        "[name]-[hash]",
		External:          []string{"/sdk/*"}, // the examples load the SDK at run time, as pages of other servers do
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		MinifySyntax:      true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		LegalComments:     api.LegalCommentsNone,
		LogLevel:          api.LogLevelWarning, // esbuild prints each error with file and line
		Plugins:           []api.Plugin{importPage(root, entry)},
	})
	if len(result.Errors) > 0 {
		return nil, errors.New("the page does not compile")
	}
	files := make(map[string][]byte)
	for _, out := range result.OutputFiles {
		name, err := filepath.Rel(root, out.Path)
		if err != nil {
			return nil, err
		}
		files[name] = out.Contents
	}
	return joinShared(files, strings.TrimSuffix(entry, ".ts")+".js")
}

// importPage makes each module that is loaded by import() import the page, too. The names of pieces are relative to root: esbuild hashes them, and a build in
// another folder must be the same.
func importPage(root, page string) api.Plugin {
	return api.Plugin{Name: pieces, Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: `^\./`}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			if args.Kind != api.ResolveJSDynamicImport {
				return api.OnResolveResult{}, nil
			}
			name, err := filepath.Rel(root, filepath.Join(args.ResolveDir, args.Path))
			return api.OnResolveResult{Path: name, Namespace: pieces}, err
		})
		build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: pieces}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			stub := fmt.Sprintf("import %q; export * from %q;", filepath.Join(root, page), filepath.Join(root, args.Path))
			return api.OnLoadResult{Contents: &stub, ResolveDir: root}, nil
		})
	}}
}

// stub matches the file that esbuild leaves of a page that others import: an import of the file with the content.
var stub = regexp.MustCompile(`^import"\./(chunk-[0-9A-Z]+\.js)";\s*$`)

// joinShared gives the file that a page shares with its pieces the name of the page. It fails if two pieces share what the page does not
// have: the page must import that itself.
func joinShared(files map[string][]byte, page string) (map[string][]byte, error) {
	found := stub.FindSubmatch(files[page])
	if found == nil {
		return files, nil
	}
	shared := string(found[1])
	joined := make(map[string][]byte)
	for name, content := range files {
		switch {
		case name == page:
		case path.Base(name) == shared:
			joined[page] = content
		case strings.HasPrefix(path.Base(name), "chunk-"):
			return nil, fmt.Errorf("%d bytes are shared by pieces and not by the page: %.200s", len(content), content)
		default:
			joined[name] = bytes.ReplaceAll(content, []byte("./"+shared), []byte("./"+path.Base(page)))
		}
	}
	return joined, nil
}
