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

// referenceMark separates the two parts of docs/sdk.md: people write the part above, this command writes the reference below.
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

// withReference returns the document with a new reference from the sources.
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

// defaultExport is the second name of an export that is listed under its own name too.
var defaultExport = regexp.MustCompile(`\w+ as default`)

// An export: a list of names, or a whole module.
var exportLine = regexp.MustCompile(`(?s)export (?:type )?(?:\{([^}]*)\}|\*) from "\./([\w.-]+)"`)

// reference describes the exports of index.ts, then those of calls.ts, in the same order.
func reference(src string) (string, error) {
	var index []byte
	for _, name := range []string{"index.ts", "calls.ts"} {
		exports, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return "", err
		}
		index = append(index, exports...)
	}
	var out strings.Builder
	for _, export := range exportLine.FindAllStringSubmatch(string(index), -1) {
		module, err := os.ReadFile(filepath.Join(src, export[2]))
		if err != nil {
			return "", err
		}
		declared := declarations(string(module))
		names := strings.FieldsFunc(strings.ReplaceAll(defaultExport.ReplaceAllString(export[1], ""), "type ", ""), func(r rune) bool { return strings.ContainsRune(", \n", r) })
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

// declaration is one export of a module. Classes, interfaces and objects have members.
type declaration struct {
	name, doc string
	base      string // the class that it extends, in the module of the same name
	source    string // the code, for a type or a simple constant
	members   []member
	named     bool // the values of the members are their names
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

// inherit adds the members of the class that d extends, if the SDK has that class.
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
	// A member is a line with an indent of two spaces. Private members, and lines that end or continue a member, do not count.
	memberLine = regexp.MustCompile(`^  (?:readonly |get |async |static |override )*[\w"*]`)
	hiddenLine = regexp.MustCompile(`^  (?:private|override readonly) `)
)

// declarations reads the exports of a module. It understands only the style of our sources: a declaration starts at the beginning
// of a line, members are indented by two spaces, and each signature is one line.
func declarations(source string) declarationList {
	var list declarationList
	var doc []string
	var open *declaration // the declaration whose members follow
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
			open.named = strings.HasSuffix(line, " = named({")
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
			shown := signature(trimmed)
			if open.named {
				name, _, _ := strings.Cut(shown, ":")
				shown = fmt.Sprintf("%s: %q", name, name)
			}
			open.members = append(open.members, member{shown, comment})
		}
		doc = nil
	}
	return list
}

// statement returns the lines of a declaration without members, and the index of the last line.
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

// commentText returns the text of a comment, without the stars.
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

// signature returns the line of a member without the body.
func signature(line string) string {
	line = strings.TrimPrefix(strings.TrimPrefix(line, "override "), "async ")
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
