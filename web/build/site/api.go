package site

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// apiDocument makes Markdown from a description in OpenAPI 3.0: the methods by their tags, then the bodies. The anchor of a method is its
// operationId; that of a body is schema- and the name of the schema.
func apiDocument(file []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(file, &doc); err != nil {
		return nil, err
	}
	d := &description{root: value{doc.Content[0]}}
	d.printf("# Every method of REST\n\n%s\n\n", d.root.text("info", "description"))
	d.printf("All paths begin with `%s`. A running server gives the description from which this page is made at "+
		"`/rest-api/openapi_specification`, for programs. [REST](docs/rest.md) explains the methods with examples.\n\n", d.root.get("servers").list()[0].text("url"))
	written := map[string]bool{}
	under := func(tag string) {
		for path, item := range d.root.get("paths").members() {
			for method, op := range operations(item) {
				title := strings.ToUpper(method) + " " + path
				if tags := op.get("tags").list(); !written[title] && (tag == "" || len(tags) > 0 && tags[0].Value == tag) {
					written[title] = true
					d.operation(title, op)
				}
			}
		}
	}
	for _, tag := range d.root.get("tags").list() {
		name := tag.text("name")
		d.printf("## %s {#tag-%s}\n\n%s\n\n", strings.ToUpper(name[:1])+name[1:], name, tag.text("description"))
		under(name)
	}
	d.printf("## Other methods\n\n")
	under("")
	d.printf("## Errors\n\n| answer | meaning | body |\n| --- | --- | --- |\n")
	for name, answer := range d.root.get("components", "responses").members() {
		if isError(answer) {
			d.printf("| %s | %s | %s |\n", name, cell(answer.text("description")), d.content(answer))
		}
	}
	d.printf("\n## Bodies\n\n")
	for name, schema := range d.root.get("components", "schemas").members() {
		d.printf("### %s {#schema-%s}\n\n", name, name)
		d.schema(schema)
	}
	return d.out.Bytes(), nil
}

// value is a node of the description, or nothing.
type value struct{ *yaml.Node }

// get goes down by the names of members. It returns nothing where one is missing.
func (v value) get(names ...string) value {
	for _, name := range names {
		next := value{}
		for key, member := range v.members() {
			if key == name {
				next = member
			}
		}
		v = next
	}
	return v
}

// text returns the text of a member, in one line if it is one paragraph.
func (v value) text(names ...string) string {
	if v = v.get(names...); v.Node == nil {
		return ""
	}
	return strings.TrimSpace(v.Value)
}

func (v value) members() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		if v.Node == nil || v.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(v.Content); i += 2 {
			if !yield(v.Content[i].Value, value{v.Content[i+1]}) {
				return
			}
		}
	}
}

func (v value) list() []value {
	if v.Node == nil || v.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]value, len(v.Content))
	for i, node := range v.Content {
		all[i] = value{node}
	}
	return all
}

// operations are the methods of HTTP at one path.
func operations(item value) iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		for method, op := range item.members() {
			if slices.Contains([]string{"get", "put", "post", "delete", "patch", "head", "options"}, method) && !yield(method, op) {
				return
			}
		}
	}
}

// description is api/openapi.yaml while it becomes Markdown.
type description struct {
	root value
	out  bytes.Buffer
}

func (d *description) printf(format string, args ...any) { fmt.Fprintf(&d.out, format, args...) }

// resolve follows a reference, and says what the name of its target is.
func (d *description) resolve(v value) (target value, name string) {
	ref := v.text("$ref")
	if ref == "" {
		return v, ""
	}
	parts := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
	return d.root.get(parts...), parts[len(parts)-1]
}

// cell makes a text fit into a cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

func (d *description) operation(title string, op value) {
	d.printf("### `%s` {#%s}\n\n%s.\n\n", title, op.text("operationId"), strings.TrimSuffix(op.text("summary"), "."))
	if text := op.text("description"); text != "" {
		d.printf("%s\n\n", text)
	}
	if parameters := op.get("parameters").list(); len(parameters) > 0 {
		d.printf("| parameter | in | type | meaning |\n| --- | --- | --- | --- |\n")
		for _, p := range parameters {
			p, _ = d.resolve(p)
			d.printf("| `%s` | %s | %s | %s |\n", p.text("name"), p.text("in"), d.kind(p.get("schema")), cell(p.text("description")))
		}
		d.printf("\n")
	}
	if body, _ := d.resolve(op.get("requestBody")); body.Node != nil {
		d.printf("The request has a body: %s. %s\n\n", d.content(body), body.text("description"))
		for _, kind := range body.get("content").members() {
			if schema := kind.get("schema"); schema.text("$ref") == "" && schema.get("properties").Node != nil {
				d.table(schema)
			}
		}
	}
	var errors []string
	d.printf("| answer | meaning | body |\n| --- | --- | --- |\n")
	for code, answer := range op.get("responses").members() {
		answer, name := d.resolve(answer)
		if name != "" && isError(answer) {
			if code != "default" {
				errors = append(errors, code)
			}
			continue
		}
		d.printf("| %s | %s | %s |\n", code, cell(answer.text("description")), d.content(answer))
	}
	if len(errors) > 0 {
		d.printf("| %s | [an error](#errors) | [Error](#schema-Error) |\n", strings.Join(errors, ", "))
	}
	d.printf("\n")
}

// isError says whether an answer has the body of all errors.
func isError(answer value) bool {
	return answer.get("content", "application/json", "schema").text("$ref") == "#/components/schemas/Error"
}

// content says which body a request or an answer has.
func (d *description) content(v value) string {
	var all []string
	for media, body := range v.get("content").members() {
		kind := d.kind(body.get("schema"))
		if media != "application/json" {
			kind = "`" + media + "`: " + kind
		}
		all = append(all, kind)
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", or ")
}

// kind says in a few words which values a schema allows.
func (d *description) kind(schema value) string {
	if _, name := d.resolve(schema); name != "" {
		return "[" + name + "](#schema-" + name + ")"
	}
	for _, word := range []string{"anyOf", "allOf", "oneOf"} {
		if parts := schema.get(word).list(); len(parts) > 0 {
			var all []string
			for _, part := range parts {
				all = append(all, d.kind(part))
			}
			return strings.Join(all, " or ")
		}
	}
	kind := schema.text("type")
	switch kind {
	case "":
		return "anything"
	case "array":
		return "list of " + d.kind(schema.get("items"))
	}
	if values := schema.get("enum").list(); len(values) > 0 {
		var all []string
		for _, v := range values {
			all = append(all, "`"+v.Value+"`")
		}
		kind = strings.Join(all, ", ")
	}
	smallest, largest := schema.text("minimum"), schema.text("maximum")
	switch {
	case smallest != "" && largest != "":
		kind += ", " + smallest + " to " + largest
	case smallest != "":
		kind += ", " + smallest + " or more"
	case largest != "":
		kind += ", " + largest + " or less"
	}
	if schema.text("nullable") == "true" {
		kind += ", or null"
	}
	return kind
}

func (d *description) schema(schema value) {
	if text := schema.text("description"); text != "" {
		d.printf("%s\n\n", text)
	}
	if schema.get("properties").Node == nil {
		d.printf("A value: %s.\n\n", d.kind(schema))
		return
	}
	d.table(schema)
}

// table lists the members of an object, with those of objects in it.
func (d *description) table(schema value) {
	d.printf("| member | type | meaning |\n| --- | --- | --- |\n")
	d.rows("", schema)
	d.printf("\n")
}

func (d *description) rows(prefix string, schema value) {
	var required []string
	for _, name := range schema.get("required").list() {
		required = append(required, name.Value)
	}
	for name, member := range schema.get("properties").members() {
		must := ""
		if slices.Contains(required, name) {
			must = "Always there. "
		}
		meaning := must + cell(member.text("description"))
		if example := member.get("example"); example.Node != nil && example.Kind == yaml.ScalarNode && example.Value != "" {
			meaning += " Example: `" + cell(example.Value) + "`."
		}
		d.printf("| `%s%s` | %s | %s |\n", prefix, name, d.kind(member), meaning)
		inner, path := member, prefix+name
		for inner.text("type") == "array" {
			inner, path = inner.get("items"), path+"[]"
		}
		d.rows(path+".", inner)
	}
}
