package generate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// types writes the types of all schemas, and those of the bodies that the operations describe in place.
func (s *source) types(bodies []body) {
	each(get(s.doc, "components", "schemas"), func(n string, schema *yaml.Node) {
		if handTypes[n] == "" && s.use[n] != "" {
			s.declare(n, schema, slices.Contains(s.sent, n))
		}
	})
	for _, b := range bodies {
		s.declare(b.name, b.schema, true)
	}
	rest := s.String()
	s.Reset()
	s.WriteString(head + "import (\n")
	for _, path := range []string{"encoding/json", "time"} {
		if strings.Contains(rest, path[strings.LastIndex(path, "/")+1:]+".") {
			fmt.Fprintf(s, "%q\n", path)
		}
	}
	s.WriteString(")\n\n" + rest)
}

// declare writes one type, and those of objects in it. sent says that it is a part of requests.
func (s *source) declare(title string, schema *yaml.Node, sent bool) {
	if s.done[title] {
		return
	}
	s.done[title] = true
	about := text(schema, "description")
	if values := list(get(schema, "enum")); len(values) > 0 {
		s.WriteString(comment("", title+" is one of the values below.\n"+about))
		fmt.Fprintf(s, "type %s string\n\n// The values of %s.\nconst (\n", title, title)
		for _, v := range values {
			if v != "" {
				fmt.Fprintf(s, "%s%s %s = %q\n", title, constant(v), title, v)
			}
		}
		s.WriteString(")\n\n")
		return
	}
	s.WriteString(comment("", title+" is "+s.use[title]+".\n"+about))
	fmt.Fprintf(s, "type %s struct {\n", title)
	required := list(get(schema, "required"))
	var inner []func()
	s.eachField(schema, func(key string, field *yaml.Node) {
		kind := s.kind(title, key, field, sent, &inner)
		tag := key
		if !slices.Contains(required, key) {
			tag += ",omitzero"
			kind = s.optional(title, key, kind, sent)
		} else if !sent {
			if pointed, ok := strings.CutPrefix(kind, "*"); ok {
				kind = pointed
			} else if text(field, "nullable") == "true" && kind == "string" {
				kind = "*string"
			}
		}
		s.WriteString(comment("\t", s.describe(field)))
		fmt.Fprintf(s, "%s %s `json:%q`\n", name(key), kind, tag)
	})
	s.WriteString("}\n\n")
	for _, declare := range inner {
		declare()
	}
}

// constant returns the end of the name of a constant for a value of an enum.
func constant(value string) string {
	if value == strings.ToUpper(value) {
		value = strings.ToLower(value)
	}
	var b strings.Builder
	for word := range strings.SplitSeq(value, "_") {
		b.WriteString(name(word))
	}
	return b.String()
}

// eachField calls f for the members of an object, also of one that is made of several.
func (s *source) eachField(schema *yaml.Node, f func(key string, field *yaml.Node)) {
	each(get(schema, "properties"), f)
	if all := get(schema, "allOf"); all != nil {
		for _, one := range all.Content {
			part, _ := s.resolve(one)
			s.eachField(part, f)
		}
	}
}

// describe returns the words about a field.
func (s *source) describe(field *yaml.Node) string {
	about := text(field, "description")
	var values []string
	for _, v := range append(list(get(field, "enum")), list(get(field, "items", "enum"))...) {
		if v != "" && !slices.ContainsFunc(values, func(had string) bool { return strings.EqualFold(had, v) }) {
			values = append(values, v)
		}
	}
	if len(values) > 0 {
		about = "One of " + strings.Join(values, ", ") + ".\n" + about
	}
	return about
}

// moment finds times that the document has as plain numbers.
var moment = regexp.MustCompile(`(ms|[Mm]illiseconds) since 1970`)

// kind returns the Go type of a field. inner gets the declarations of objects in it.
func (s *source) kind(title, key string, field *yaml.Node, sent bool, inner *[]func()) string {
	if same := sameAs[title+"."+key]; same != "" {
		return "*" + same
	}
	to, named := s.resolve(field)
	if named != "" {
		switch hand := handTypes[named]; {
		case named == "LenientNumber" && slices.Contains(fractions, key):
			return "float64"
		case hand != "":
			return hand
		case get(to, "properties") != nil:
			return "*" + named
		}
		return named
	}
	for _, of := range []string{"allOf", "anyOf"} {
		if all := get(field, of); all != nil {
			return s.kind(title, key, all.Content[0], sent, inner)
		}
	}
	switch text(field, "type") {
	case "string":
		if text(field, "format") == "date-time" {
			return "time.Time"
		}
		return "string"
	case "boolean":
		return "bool"
	case "integer":
		if moment.MatchString(text(field, "description")) {
			return "Moment"
		}
		if text(field, "format") == "int64" {
			return "int64"
		}
		return "int"
	case "number":
		if sent && !slices.Contains(fractions, key) {
			return "int64"
		}
		return "float64"
	case "array":
		return "[]" + strings.TrimPrefix(s.kind(title, key, get(field, "items"), sent, inner), "*")
	case "object":
		if get(field, "properties") == nil {
			return "json.RawMessage"
		}
		below := title + strings.TrimSuffix(name(key), "s")
		if key == "options" {
			below = title + "Options"
		}
		s.use[below] = "a part of " + title
		*inner = append(*inner, func() { s.declare(below, field, sent) })
		return "*" + below
	}
	return "json.RawMessage"
}

// optional returns the type of a field that may be absent.
func (s *source) optional(title, key, kind string, sent bool) string {
	number := slices.Contains([]string{"bool", "int", "int64", "float64"}, kind)
	switch {
	case !sent, kind == "Moment":
		return kind
	case number && !slices.Contains(zeroIsAbsent[title], key), kind == "string" && slices.Contains(emptyCounts, title):
		return "*" + kind
	}
	return kind
}
