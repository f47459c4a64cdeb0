package generate

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// body is the body of a request that an operation describes in place, and whose type gets the name of the operation.
type body struct {
	name   string
	schema *yaml.Node
}

// methods returns the file with a method for each operation, and the bodies that still need a type.
func (s *source) methods() (code string, bodies []body) {
	for _, title := range []string{"PushEvent", "MissedEvents"} {
		s.note(title, "one of what Events returns")
	}
	var b strings.Builder
	b.WriteString(head + "import (\n\"context\"\n\"net/http\"\n\"net/url\"\n)\n\n")
	each(get(s.doc, "paths"), func(path string, methods *yaml.Node) {
		each(methods, func(method string, op *yaml.Node) {
			id := text(op, "operationId")
			if byHand[id] != "" || leftOut[id] != "" || isTwin(methods, method, op) {
				return
			}
			o := operation{id: id, method: strings.ToUpper(method[:1]) + method[1:], path: path, node: op}
			bodies = append(bodies, s.method(&b, o)...)
		})
	})
	return b.String(), bodies
}

// isTwin says whether an operation is a list by POST that there is by GET, too.
func isTwin(methods *yaml.Node, method string, op *yaml.Node) bool {
	return method == "post" && get(methods, "get") != nil && text(op, "requestBody", "$ref") == "#/components/requestBodies/Ignored"
}

// operation is one method of one path.
type operation struct {
	id, method, path string
	node             *yaml.Node
}

// method writes the method of an operation.
func (s *source) method(b *strings.Builder, o operation) (bodies []body) {
	params, sent := "ctx context.Context", "nil"
	var about []string
	if request := get(o.node, "requestBody"); request != nil && text(request, "$ref") != "#/components/requestBodies/Ignored" {
		schema := s.bodyOf(request)
		to, named := s.resolve(schema)
		only, single := s.single(to)
		switch {
		case single:
			params += ", " + argument(only) + " string"
			sent = fmt.Sprintf("map[string]string{%q: %s}", only, argument(only))
		case named != "":
			s.note(named, "what "+name(o.id)+" sends")
			params += ", request " + named
			sent = "request"
		default:
			s.note(name(o.id), "what "+name(o.id)+" sends")
			params += ", request " + name(o.id)
			sent = "request"
			bodies = append(bodies, body{name(o.id), schema})
		}
	} else if o.method == "Post" {
		sent = "struct{}{}"
	}
	var set []string
	query := "nil"
	parameters := get(o.node, "parameters")
	if parameters != nil && len(parameters.Content) > maxArguments {
		params += ", query " + name(o.id) + "Query"
		query = s.queryType(b, o, parameters)
		parameters = nil
	}
	if parameters != nil {
		for _, p := range parameters.Content {
			p, shared := s.resolve(p)
			switch key := text(p, "name"); {
			case shared == "Empty":
				set = append(set, `"empty": {"true"}`)
			case shared == "After":
			case shared == "Limit":
				params += ", page Page"
				query = "page.query"
			default:
				kind, value := "string", key
				if text(p, "schema", "type") == "integer" {
					kind, value = "int", "number("+key+")"
				}
				params += ", " + key + " " + kind
				set = append(set, fmt.Sprintf("%q: {%s}", key, value))
				about = append(about, key+": "+text(p, "description"))
			}
		}
	}
	if len(set) > 0 {
		values := "url.Values{" + strings.Join(set, ", ") + "}"
		if query == "page.query" {
			query = "page.query(" + values + ")"
		} else {
			query = values
		}
	}
	result := s.result(o.node)
	s.note(strings.TrimPrefix(result, "[]"), "what "+name(o.id)+" returns")
	summary := text(o.node, "summary")
	fmt.Fprintf(b, "// %s calls %s %s: %s.\n", name(o.id), strings.ToUpper(o.method), o.path, strings.ToLower(summary[:1])+summary[1:])
	b.WriteString(comment("", text(o.node, "description")))
	for _, line := range about {
		b.WriteString(comment("", line))
	}
	if result == "" {
		fmt.Fprintf(b, "func (c *Client) %s(%s) error {\nreturn c.Do(ctx, http.Method%s, %q, %s, %s, nil)\n}\n\n", name(o.id), params, o.method, o.path, query, sent)
		return bodies
	}
	fmt.Fprintf(b, "func (c *Client) %s(%s) (answer %s, err error) {\nerr = c.Do(ctx, http.Method%s, %q, %s, %s, &answer)\nreturn answer, err\n}\n\n",
		name(o.id), params, result, o.method, o.path, query, sent)
	return bodies
}

// maxArguments is how many parameters of a query a method takes as arguments. More are a struct.
const maxArguments = 4

// queryType writes the type for the parameters of a query, and returns the query that a method makes of it.
func (s *source) queryType(b *strings.Builder, o operation, parameters *yaml.Node) string {
	title := name(o.id) + "Query"
	fmt.Fprintf(b, "// %s are the parameters of %s. A zero value is absent.\ntype %s struct {\n", title, name(o.id), title)
	var set []string
	for _, p := range parameters.Content {
		key := text(p, "name")
		schema, named := s.resolve(get(p, "schema"))
		kind, value := "string", "query."+name(key)
		switch {
		case named != "" && text(schema, "type") == "integer":
			kind, value = named, "number(int("+value+"))"
		case named != "":
			kind, value = named, "string("+value+")"
		case text(schema, "type") == "integer":
			kind, value = "int", "number("+value+")"
		}
		b.WriteString(comment("\t", text(p, "description")))
		fmt.Fprintf(b, "%s %s\n", name(key), kind)
		set = append(set, fmt.Sprintf("%q: {%s}", key, value))
	}
	b.WriteString("}\n\n")
	return "url.Values{" + strings.Join(set, ", ") + "}"
}

// note notes what a type is for, and that the types in it are parts of it. The first operation counts.
func (s *source) note(title, use string) {
	if title == "" || s.use[title] != "" {
		return
	}
	s.use[title] = use
	var visit func(n *yaml.Node)
	visit = func(n *yaml.Node) {
		if n == nil {
			return
		}
		if _, named := s.resolve(n); named != "" {
			s.note(named, "a part of "+title)
			return
		}
		for _, child := range n.Content {
			visit(child)
		}
	}
	visit(get(s.doc, "components", "schemas", title))
}

// argument returns a name of the document as that of an argument.
func argument(of string) string {
	n := name(of)
	return of[:1] + n[1:]
}

// single returns the name of the only member of a body, if that is a string and must be there.
func (s *source) single(schema *yaml.Node) (key string, ok bool) {
	count, must := 0, list(get(schema, "required"))
	s.eachField(schema, func(k string, field *yaml.Node) {
		count++
		to, _ := s.resolve(field)
		key, ok = k, text(to, "type") == "string" || text(field, "$ref") == "#/components/schemas/LenientString"
	})
	return key, ok && count == 1 && len(must) == 1
}

// result returns the type of the answer, "" if it has no content.
func (s *source) result(op *yaml.Node) string {
	schema := s.bodyOf(get(op, "responses", "200"))
	if schema == nil {
		return ""
	}
	if text(schema, "type") == "array" {
		_, named := s.resolve(get(schema, "items"))
		return "[]" + named
	}
	_, named := s.resolve(schema)
	return named
}
