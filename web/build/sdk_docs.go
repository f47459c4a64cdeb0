package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

//go:generate go run . -dir .. -docs ../../docs/sdk.md

// referenceMark is where the written part of docs/sdk.md ends and the reference begins, which is made here.
const referenceMark = "<!-- From here on, made by `go generate ./web/build` from the comments in web/sdk/src. -->\n"

// writeDocs replaces the reference in a document.
func writeDocs(src, document string) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	text, err = withReference(src, text)
	if err != nil {
		return err
	}
	return os.WriteFile(document, text, 0o644)
}

// withReference returns the document with the reference as the sources have it.
func withReference(src string, document []byte) ([]byte, error) {
	written, _, found := bytes.Cut(document, []byte(referenceMark))
	if !found {
		return nil, fmt.Errorf("the document has no line %q", strings.TrimSpace(referenceMark))
	}
	reference, err := reference(src)
	if err != nil {
		return nil, err
	}
	return []byte(string(written) + referenceMark + reference), nil
}

// An export of index.ts: a list of names, or all of a module.
var exportLine = regexp.MustCompile(`(?s)export (?:type )?(?:\{([^}]*)\}|\*) from "\./([\w.-]+)"`)

// reference describes what index.ts exports, in its order.
func reference(src string) (string, error) {
	index, err := os.ReadFile(filepath.Join(src, "index.ts"))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, export := range exportLine.FindAllStringSubmatch(string(index), -1) {
		module, err := os.ReadFile(filepath.Join(src, export[2]))
		if err != nil {
			return "", err
		}
		declared := declarations(string(module))
		names := strings.FieldsFunc(strings.ReplaceAll(export[1], "type ", ""), func(r rune) bool { return strings.ContainsRune(", \n", r) })
		for _, d := range declared {
			if export[1] == "" {
				names = append(names, d.name)
			}
		}
		for _, name := range names {
			d := declared.find(name)
			if d == nil {
				return "", fmt.Errorf("%s does not declare %s", export[2], name)
			}
			if d.doc == "" {
				return "", fmt.Errorf("%s: %s has no comment", export[2], name)
			}
			if err := d.inherit(src); err != nil {
				return "", err
			}
			out.WriteString(d.markdown())
		}
	}
	return out.String(), nil
}

// declaration is something that a module exports. Its members are those of a class, interface or object.
type declaration struct {
	name, doc string
	base      string // the class that it has more members from, of the module of that name
	source    string // of a type or a simple constant
	members   []member
}

type member struct{ signature, doc string }

type declarationList []*declaration

func (l declarationList) find(name string) *declaration {
	for _, d := range l {
		if d.name == name {
			return d
		}
	}
	return nil
}

// inherit adds the members of the class that d extends, if that is one of ours.
func (d *declaration) inherit(src string) error {
	if d.base == "" {
		return nil
	}
	module, err := os.ReadFile(filepath.Join(src, strings.ToLower(d.base)+".ts"))
	if err != nil {
		return err
	}
	if base := declarations(string(module)).find(d.base); base != nil {
		d.members = append(d.members, base.members...)
	}
	return nil
}

var (
	declarationLine = regexp.MustCompile(`^export (class|interface|type|const) (\w+)(?: extends (\w+)<)?`)
	// Members begin a line after two spaces. What is private is none, nor is what ends or continues one.
	memberLine = regexp.MustCompile(`^  (?:readonly |get |async |static )*[\w"*]`)
	hiddenLine = regexp.MustCompile(`^  (?:private|override) `)
)

// declarations reads what a module exports. It knows TypeScript only as our sources are written: one declaration of a line's
// beginning, members indented by two spaces, each signature in one line.
func declarations(source string) declarationList {
	var list declarationList
	var doc []string
	var open *declaration // that members belong to
	lines := strings.Split(source, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "/**") {
			for doc = []string{trimmed}; !strings.HasSuffix(trimmed, "*/"); doc = append(doc, trimmed) {
				i++
				trimmed = strings.TrimSpace(lines[i])
			}
			continue
		}
		comment := commentText(doc)
		switch m := declarationLine.FindStringSubmatch(line); {
		case m != nil:
			open = &declaration{name: m[2], doc: comment}
			if m[1] == "class" {
				open.base = m[3]
			}
			list = append(list, open)
			if !strings.HasSuffix(line, "{") || m[1] == "type" {
				open.source, i = statement(lines, i)
				open = nil
			} else if m[1] == "const" && strings.HasSuffix(line, "}") {
				open = nil
			}
		case strings.HasPrefix(line, "}"):
			open = nil
		case open != nil && memberLine.MatchString(line) && !hiddenLine.MatchString(line) && !strings.Contains(comment, "@internal"):
			open.members = append(open.members, member{signature(trimmed), comment})
		}
		doc = nil
	}
	return list
}

// statement returns the lines of a declaration without members, and the last one's index.
func statement(lines []string, i int) (string, int) {
	first, depth := i, 0
	for ; ; i++ {
		depth += strings.Count(lines[i], "{") - strings.Count(lines[i], "}")
		if i == len(lines)-1 || depth == 0 && strings.HasSuffix(lines[i], ";") {
			break
		}
	}
	return strings.TrimPrefix(strings.Join(lines[first:i+1], "\n"), "export "), i
}

// commentText takes the stars from a comment.
func commentText(lines []string) string {
	var words []string
	for _, line := range lines {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "/**"), "*/")
		if line = strings.TrimSpace(strings.TrimPrefix(line, "*")); line != "" {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}

var (
	body   = regexp.MustCompile(`(?: \{(?:\})?,?| = .*;|[;,])$`)
	getter = regexp.MustCompile(`^get (\w+)\(\): `)
)

// signature is a member's line without its body.
func signature(line string) string {
	line = strings.TrimPrefix(line, "async ")
	line = strings.TrimPrefix(line, "*")
	return getter.ReplaceAllString(body.ReplaceAllString(line, ""), "readonly $1: ")
}

func (d *declaration) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n### %s\n\n%s\n", d.name, strings.TrimSpace(strings.ReplaceAll(d.doc, "@internal", "")))
	if d.source != "" {
		fmt.Fprintf(&out, "\n```text\n%s\n```\n", d.source)
	}
	if len(d.members) > 0 {
		out.WriteString("\n")
	}
	for _, m := range d.members {
		fmt.Fprintf(&out, "- `%s`", m.signature)
		if m.doc != "" {
			out.WriteString(": " + m.doc)
		}
		out.WriteString("\n")
	}
	return out.String()
}
