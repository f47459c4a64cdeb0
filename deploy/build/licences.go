package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a Go module that a program is linked with.
type module struct {
	Path, Version string
	Sum           string // h1: hash of its content
	dir           string // its sources
}

// modules returns the modules that a program is linked with, in order.
func modules(ctx context.Context, program string) ([]module, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var all []module
	ask := []string{"list", "-m", "-json"}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		all = append(all, module{Path: d.Path, Version: d.Version, Sum: d.Sum})
		ask = append(ask, d.Path)
	}
	slices.SortFunc(all, func(a, b module) int { return cmp.Compare(a.Path, b.Path) })
	text, err := output(ctx, "", "scripts/go", ask...)
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var m struct{ Path, Dir string }
		if err := d.Decode(&m); err != nil {
			return nil, err
		}
		dirs[m.Path] = m.Dir
	}
	for i := range all {
		if all[i].dir = dirs[all[i].Path]; all[i].dir == "" {
			return nil, fmt.Errorf("the sources of %s are not on this machine", all[i].Path)
		}
	}
	return all, nil
}

// listModules returns the modules that the program of an architecture would be linked with, in order. Nothing is compiled, and no C compiler is asked.
func listModules(ctx context.Context, arch string) ([]module, error) {
	environ := []string{"GOOS=linux", "GOARCH=" + arch, "CGO_ENABLED=1"}
	text, err := outputIn(ctx, "", environ, "scripts/go", "list", "-deps", "-json=Module", "./cmd/transponder")
	if err != nil {
		return nil, err
	}
	found := map[string]module{}
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var p struct {
			Module *struct { // nil in Go's own library
				Path, Version, Sum string
				Main               bool
				Replace            *struct{ Path, Version, Sum string }
			}
		}
		if err := d.Decode(&p); err != nil {
			return nil, err
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		m := module{Path: p.Module.Path, Version: p.Module.Version, Sum: p.Module.Sum}
		if r := p.Module.Replace; r != nil {
			m = module{Path: r.Path, Version: r.Version, Sum: r.Sum}
		}
		found[m.Path] = m
	}
	return slices.SortedFunc(maps.Values(found), func(a, b module) int { return cmp.Compare(a.Path, b.Path) }), nil
}

// licenceName matches the files of a module that its licence demands to hand on.
var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents|authors)([-._].*)?$`)

// licence is one such file.
type licence struct {
	name string // "LICENSE", or "sub/LICENSE"
	text []byte
}

// licencesOf returns the licence files at the top of a folder, and one level below it: some modules have code of others there.
func licencesOf(dir string) ([]licence, error) {
	var all []licence
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			if name != "." && (strings.Count(name, "/") > 0 || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !licenceName.MatchString(d.Name()) || filepath.Ext(name) == ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		all = append(all, licence{name, text})
		return err
	})
	return all, err
}

// apache is the text of the Apache License, wherever it stands in a file. Debian has the text.
var apache = regexp.MustCompile(`(?s)[ \t]*Apache License\s+Version 2\.0, January 2004.*?END OF TERMS AND CONDITIONS`)

// copyright returns what the licences of a program, of its modules and of Go demand to hand on.
func copyright(ctx context.Context, program string) ([]byte, error) {
	own, err := os.ReadFile("LICENSE")
	if err != nil {
		return nil, err
	}
	all, err := modules(ctx, program)
	if err != nil {
		return nil, err
	}
	root, err := output(ctx, "", "scripts/go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	all = append(all, module{Path: "the Go programming language, its runtime and standard library", dir: root})
	var b bytes.Buffer
	fmt.Fprintf(&b, "Transponder\n===========\n\nThe sources of Transponder have this licence:\n\n%s\n", indent(own))
	b.WriteString("The program is linked with libraries of FFmpeg that Debian builds under the GNU General Public License, version 2 or later. So the program\n" +
		"as a whole is handed out under the terms of that licence: /usr/share/common-licenses/GPL-2.\n\n" +
		"The program contains the modules below. Where \"Apache License, Version 2.0\" stands in place of a text, the text is in\n" +
		"/usr/share/common-licenses/Apache-2.0.\n")
	for _, m := range all {
		texts, err := licencesOf(m.dir)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(texts, func(l licence) bool { return !strings.Contains(l.name, "/") }) {
			return nil, fmt.Errorf("module %s has no licence", m.Path)
		}
		title := strings.TrimSpace(m.Path + " " + m.Version)
		fmt.Fprintf(&b, "\n%s\n%s\n", title, strings.Repeat("=", len(title)))
		for _, l := range texts {
			fmt.Fprintf(&b, "\n%s:\n\n%s", l.name, indent(apache.ReplaceAll(l.text, []byte("Apache License, Version 2.0"))))
		}
	}
	return b.Bytes(), nil
}

// indent sets a text off from what is around it.
func indent(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\r", "")) {
		if line = strings.TrimRight(line, " \t\n\f"); line != "" {
			b.WriteString("    " + line)
		}
		b.WriteString("\n")
	}
	return b.String()
}
