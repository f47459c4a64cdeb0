package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
)

const (
	sdkSource   = "../sdk/src"
	sdkDocument = "../../docs/sdk.md"

	// The limits for the compressed size of the builds that pages load. The vendor's SDK takes over 100 kB.
	sdkBudget   = 15_000
	callsBudget = 18_500
	moreBudget  = 4_500  // what stands on the core, each
	pageBudget  = 60_000 // the script of one page
)

func TestSDKSize(t *testing.T) {
	files, err := bundleSDK(sdkSource, served)
	if err != nil {
		t.Fatal(err)
	}
	for name, budget := range map[string]int{
		sdkModule: sdkBudget, sdkScript: sdkBudget, callsModule: callsBudget, callsScript: callsBudget,
		controllersModule: moreBudget, elementsModule: moreBudget,
	} {
		judgeSize(t, name, files[name], budget)
	}
}

func TestPageSize(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", "pages"))
	if err != nil {
		t.Fatal(err)
	}
	_, entries, err := list(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := bundle(root, entries)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if filepath.Ext(name) == ".js" {
			judgeSize(t, name, content, pageBudget)
		}
	}
}

// judgeSize compares the compressed size of a script with the most bytes that it may have.
func judgeSize(t *testing.T, name string, content []byte, budget int) {
	t.Helper()
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes, %d compressed", name, len(content), zipped.Len())
	if len(content) == 0 || zipped.Len() > budget {
		t.Errorf("%s takes %d bytes compressed, at most %d are allowed", name, zipped.Len(), budget)
	}
}

// The builds shorten the names that begin with an underscore. One that is left would be reached by a string, and not be found.
func TestSDKPrivateNames(t *testing.T) {
	files, err := bundleSDK(sdkSource, packaged)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{sdkModule, sdkScript, sdkCommonJS, callsModule, callsScript, callsCommonJS} {
		if left := regexp.MustCompile(`\b_[a-z]\w{2,}`).FindAllString(string(files[name]), -1); len(left) > 0 {
			t.Errorf("%s has the private names %q", name, left)
		}
	}
}

// Pages that import the package in the same ways as the vendor's package compile, and get one copy of the SDK however they import it.
func TestSDKImports(t *testing.T) {
	dir := t.TempDir()
	installed := filepath.Join(dir, "node_modules", "transponder-sdk")
	if err := writeSDK(sdkSource, filepath.Join(installed, "dist")); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("../sdk/package.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(installed, "package.json"), manifest, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{
		`import * as Flashphoner from "SDK"; Flashphoner.init({}); console.log(Flashphoner.constants.SESSION_STATUS, Flashphoner.getMobileDevices);`,
		`import Flashphoner from "SDK"; Flashphoner.createSession({});`,
		`import { constants, createSession, Browser, STREAM_STATUS } from "SDK"; createSession(constants, Browser, STREAM_STATUS);`,
		`const Flashphoner = require("SDK"); Flashphoner.createSession({});`,
		`import { SdkError } from "SDK"; console.log(require("SDK").SdkError === SdkError);`,
	} {
		for _, format := range []api.Format{api.FormatESModule, api.FormatIIFE, api.FormatCommonJS} {
			result := api.Build(api.BuildOptions{
				Stdin:  &api.StdinOptions{Contents: strings.ReplaceAll(page, "SDK", "transponder-sdk"), ResolveDir: dir},
				Bundle: true, Format: format, LogLevel: api.LogLevelSilent, Metafile: true,
			})
			for _, message := range append(result.Errors, result.Warnings...) { // esbuild warns of an export that does not exist
				t.Errorf("%s: %s", page, message.Text)
			}
			if strings.Contains(result.Metafile, sdkCommonJS) {
				t.Errorf("%s: the bundle has the build for programs without a bundler", page)
			}
		}
	}
}

// The page of the examples promises less than 60 lines of script.
func TestExamples(t *testing.T) {
	scripts, err := filepath.Glob("../pages/examples/*.ts")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range scripts {
		script, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(script, []byte("\n")); lines >= 60 {
			t.Errorf("%s has %d lines, want less than 60", name, lines)
		}
	}
}

// The reference in docs/sdk.md is up to date with the sources.
func TestReference(t *testing.T) {
	document, err := os.ReadFile(sdkDocument)
	if err != nil {
		t.Fatal(err)
	}
	want, err := withReference(sdkSource, document)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(document, want) {
		t.Errorf("%s is out of date: run `go generate ./web/build`", sdkDocument)
	}
	for _, word := range []string{"@internal", "private ", "undefined: undefined"} {
		if strings.Contains(string(want), word) {
			t.Errorf("the reference shows %q", word)
		}
	}
}

func TestDeclarations(t *testing.T) {
	const source = `import x from "y";

/** A thing. */
export class Thing extends Emitter<Events> {
  /** What it is. */
  readonly kind: string;
  private secret = 1;

  /** @internal */
  constructor(readonly a: number) {
    super();
  }

  /**
   * Does
   * it.
   */
  async run(now = true): Promise<void> {
    const x = 1;
  }

  /** Its name. */
  get name(): string {
    return "";
  }

  private hide(): void {}
}

/** Either. */
export type Either = { a: 1;
  b: 2 } | string;

/** Words. */
export const WORDS = {
  /** One. */
  ONE: "one",
  two(): void {},
} as const;

/** Names. */
export const NAMES = named({
  /** One. */
  ONE: 0,
});

/** Seven. */
export const SEVEN = 7;

function helper(): void {}
`
	want := declarationList{
		{name: "Thing", doc: "A thing.", base: "Emitter", members: []member{
			{"readonly kind: string", "What it is."}, {"run(now = true): Promise<void>", "Does it."}, {"readonly name: string", "Its name."},
		}},
		{name: "Either", doc: "Either.", source: "type Either = { a: 1;\n  b: 2 } | string;"},
		{name: "WORDS", doc: "Words.", members: []member{{`ONE: "one"`, "One."}, {"two(): void", ""}}},
		{name: "NAMES", doc: "Names.", members: []member{{`ONE: "ONE"`, "One."}}, named: true},
		{name: "SEVEN", doc: "Seven.", source: "const SEVEN = 7;"},
	}
	got := declarations(source)
	if len(got) != len(want) {
		t.Fatalf("%d declarations, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("declaration %d:\ngot  %+v\nwant %+v", i, *got[i], *want[i])
		}
	}
}

func TestDocumentWithoutReference(t *testing.T) {
	if _, err := withReference(sdkSource, []byte("# no mark")); err == nil {
		t.Error("a document without the mark is taken")
	}
}
