package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"transponder/api"
	"transponder/pkg/client/generate"
)

// TestSpecificationForTools checks that api/openapi.yaml has what linters and client generators need beyond a valid specification.
func TestSpecificationForTools(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c.doc)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	used, operations := map[string]bool{}, map[string]bool{}
	walk("", doc, func(at string, node map[string]any) {
		if ref, ok := node["$ref"].(string); ok {
			used[ref] = true
		}
		if _, nullable := node["nullable"].(bool); nullable && node["type"] == nil {
			t.Errorf("%s is nullable, but of no type", at)
		}
		if all, ok := node["allOf"].([]any); ok && len(all) == 1 && len(node) == 1 {
			t.Errorf("%s: allOf of one schema", at)
		}
		responses, ok := node["responses"].(map[string]any)
		if !ok || !strings.HasPrefix(at, "/paths") {
			return
		}
		id, _ := node["operationId"].(string)
		if id == "" || operations[id] {
			t.Errorf("%s: operationId %q is missing, or another operation's", at, id)
		}
		operations[id] = true
		if !slices.ContainsFunc(slices.Collect(maps.Keys(responses)), func(code string) bool { return strings.HasPrefix(code, "4") }) {
			t.Errorf("%s describes no error of the caller", at)
		}
		if node["summary"] == nil || responses["default"] == nil {
			t.Errorf("%s has no summary, or does not describe other errors", at)
		}
	})
	for kind, components := range doc["components"].(map[string]any) {
		for name := range components.(map[string]any) {
			if ref := "#/components/" + kind + "/" + name; kind != "securitySchemes" && !used[ref] {
				t.Errorf("%s is not used", ref)
			}
		}
	}
	if servers := "\nservers:\n  - {url: " + prefix; !strings.Contains(string(api.OpenAPI), servers) || strings.Contains(string(api.OpenAPI), "://localhost:8") {
		t.Error("the server is not the one that the document comes from")
	}
}

// TestClientOfGo checks that package client was made from this document.
func TestClientOfGo(t *testing.T) {
	files, err := generate.Code(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile("../../pkg/client/" + name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what api/openapi.yaml says (%v): run go generate ./pkg/client", name, err)
		}
	}
}

// walk calls visit for each object of a JSON value.
func walk(at string, value any, visit func(at string, node map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		visit(at, v)
		for key, child := range v {
			walk(at+"/"+key, child, visit)
		}
	case []any:
		for i, child := range v {
			walk(fmt.Sprintf("%s/%d", at, i), child, visit)
		}
	}
}
