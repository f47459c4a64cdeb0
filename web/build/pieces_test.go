package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// writePages writes a page that loads the pieces a and b, and what they import.
func writePages(t *testing.T, more map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"page.ts":   `import { shared } from "./shared.ts"; console.log(shared("page")); globalThis.load = [() => import("./a.ts"), () => import("./b.ts")];`,
		"shared.ts": `export function shared(who: string): string { return "shared by " + who; }`,
		"a.ts":      `import { shared } from "./shared.ts"; export function a(): string { return shared("a"); }`,
		"b.ts":      `import { shared } from "./shared.ts"; export function b(): string { return shared("b"); }`,
	}
	for name, content := range more {
		files[name] = content
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// imported matches the address of a file that a script needs before it runs.
var imported = regexp.MustCompile(`(?:^|[;}])(?:import|export)(?:[^"'();]*from)?"([^"]+)"`)

func TestPieces(t *testing.T) {
	files, err := bundlePage(writePages(t, nil), "page.ts")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Errorf("there are %d files, want the page and two pieces", len(files))
	}
	if found := imported.FindSubmatch(files["page.js"]); found != nil {
		t.Errorf("the page needs %s", found[1])
	}
	for name, content := range files {
		if shares := strings.Contains(string(content), "shared by "); shares != (name == "page.js") {
			t.Errorf("%s has the code that the page and the pieces share: %t", name, shares)
		}
		if name == "page.js" {
			continue
		}
		if !strings.Contains(string(files["page.js"]), `import("./`+name+`")`) {
			t.Errorf("the page does not load %s", name)
		}
		for _, found := range imported.FindAllSubmatch(content, -1) {
			if string(found[1]) != "./page.js" {
				t.Errorf("%s needs %s, want only the page", name, found[1])
			}
		}
	}
}

// A page that was loaded before the server was updated must not get pieces that fit another page.
func TestPieceOfAnotherPage(t *testing.T) {
	old, err := bundlePage(writePages(t, nil), "page.ts")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := bundlePage(writePages(t, map[string]string{
		"shared.ts": `export function shared(who: string): string { return "shared with " + who; }`,
	}), "page.ts")
	if err != nil {
		t.Fatal(err)
	}
	for name := range changed {
		if _, known := old[name]; known && name != "page.js" {
			t.Errorf("%s has the same name beside another page", name)
		}
	}
}

// A piece that needs another file could fail in the other file, which nothing tries to load again.
func TestPiecesShareOnlyThePage(t *testing.T) {
	files, err := bundlePage(writePages(t, map[string]string{
		"other.ts": `export function other(): number { return Math.random(); }`,
		"a.ts":     `import { other } from "./other.ts"; export { other as a };`,
		"b.ts":     `import { other } from "./other.ts"; export { other as b };`,
	}), "page.ts")
	if err == nil || !strings.Contains(err.Error(), "shared by pieces and not by the page") {
		t.Errorf("bundlePage made %d files with the error %v, want an error that names the fault", len(files), err)
	}
}

// A build in another folder is the same, byte for byte.
func TestPiecesOfAnotherFolder(t *testing.T) {
	first, err := bundlePage(writePages(t, nil), "page.ts")
	if err != nil {
		t.Fatal(err)
	}
	second, err := bundlePage(writePages(t, nil), "page.ts")
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(first, second, bytes.Equal) {
		t.Errorf("two folders give %q and %q", slices.Sorted(maps.Keys(first)), slices.Sorted(maps.Keys(second)))
	}
}
