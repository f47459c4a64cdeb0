package helm

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"transponder/internal/config"
)

var update = flag.Bool("update", false, "write the README.md of the chart")

// read reads a file of the chart.
func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("transponder", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestREADME: README.md of the chart lists the values as values.yaml has them, with the comments there. -update writes it.
func TestREADME(t *testing.T) {
	var values yaml.Node
	if err := yaml.Unmarshal(read(t, "values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString("# The Helm chart of Transponder\n\n[Kubernetes](../../../docs/kubernetes.md) says how to install it, and what must be true of the network. These are its values, made of\n" +
		"values.yaml by `go test ./deploy/helm -update`.\n\n| value | default | what it says |\n| --- | --- | --- |\n")
	if err := list(&b, "", values.Content[0]); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(filepath.Join("transponder", "README.md"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(read(t, "README.md"), b.Bytes()) {
		t.Error("README.md is not that of values.yaml: go test ./deploy/helm -update")
	}
}

// list writes a line for each value that is no object with values of its own. An object with a comment has a line, too.
func list(b *bytes.Buffer, prefix string, m *yaml.Node) error {
	for i := 0; i < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		name := prefix + key.Value
		words := strings.Fields(strings.ReplaceAll(key.HeadComment, "#", " "))
		if i == 0 && prefix == "" {
			words = nil // the comment of the file
		}
		nested := value.Kind == yaml.MappingNode && len(value.Content) > 0
		if !nested || len(words) > 0 {
			cell := ""
			if !nested {
				var v any
				if err := value.Decode(&v); err != nil {
					return err
				}
				text, err := json.Marshal(v)
				if err != nil {
					return err
				}
				cell = "`" + string(text) + "`"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, cell, strings.ReplaceAll(strings.Join(words, " "), "|", `\|`))
		}
		if nested {
			if err := list(b, name+".", value); err != nil {
				return err
			}
		}
	}
	return nil
}

// schema is what the tests read of values.schema.json.
type schema struct {
	Type       any               `json:"type"`
	Enum       []any             `json:"enum"`
	Properties map[string]schema `json:"properties"`
	Additional any               `json:"additionalProperties"`
}

// TestSchema: every value has a type in values.schema.json, and there is no type without a value.
func TestSchema(t *testing.T) {
	var s schema
	if err := json.Unmarshal(read(t, "values.schema.json"), &s); err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(read(t, "values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	delete(s.Properties, "global") // which Helm gives to charts within charts
	compare(t, "", values, s)
}

func compare(t *testing.T, name string, values map[string]any, s schema) {
	t.Helper()
	for key, v := range values {
		p, known := s.Properties[key]
		if !known {
			t.Errorf("values.schema.json lacks %s%s", name, key)
			continue
		}
		if p.Type == nil && p.Enum == nil {
			t.Errorf("%s%s has no type", name, key)
		}
		if nested, ok := v.(map[string]any); ok && p.Additional == false {
			compare(t, name+key+".", nested, p)
		}
	}
	for key := range s.Properties {
		_, there := values[key]
		if optional := strings.HasSuffix(name, "Probe."); !there && !optional {
			t.Errorf("values.yaml lacks %s%s", name, key)
		}
	}
}

// TestLinks: the alerts and the dashboards of the chart are those that the other tests test.
func TestLinks(t *testing.T) {
	files, err := filepath.Glob("../grafana/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append(files, "../prometheus/alerts.yml") {
		text, err := os.ReadFile(want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, filepath.Join("files", filepath.Base(want))), text) {
			t.Errorf("the chart has another %s", want)
		}
		if name := strings.TrimSuffix(filepath.Base(want), ".json"); name != filepath.Base(want) && !bytes.Contains(read(t, "templates/dashboards.yaml"), []byte(`"`+name+`"`)) {
			t.Errorf("templates/dashboards.yaml does not make a ConfigMap of %s", want)
		}
	}
}

// TestSettings: every setting that the templates write is a setting of the server.
func TestSettings(t *testing.T) {
	keys := config.Keys()
	helpers := string(read(t, "templates/_helpers.tpl"))
	_, owned, found := strings.Cut(helpers, `{{- define "transponder.owned" -}}`)
	if !found {
		t.Fatal("the templates are not as they were")
	}
	owned, rest, _ := strings.Cut(owned, "{{- define ")
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z_.]+): [a-zA-Z.]+$`).FindAllStringSubmatch(owned, -1) {
		names = append(names, m[1])
	}
	for _, m := range regexp.MustCompile(`"([a-z]+[_.][a-z_.]+)"`).FindAllStringSubmatch(rest, -1) {
		names = append(names, m[1])
	}
	for _, m := range regexp.MustCompile(`name: TRANSPONDER_([A-Z_]+)`).FindAllStringSubmatch(string(read(t, "templates/_pod.tpl")), -1) {
		names = append(names, strings.ToLower(m[1]))
	}
	if len(names) < 25 {
		t.Fatalf("the templates have only %q", names)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "transponder.") {
			continue // a template
		}
		if !slices.Contains(keys, name) {
			t.Errorf("%s is no setting", name)
		}
	}
}

// TestVersion: the chart has a version that Helm can order.
func TestVersion(t *testing.T) {
	var chart struct {
		Name, Version string
		AppVersion    any `yaml:"appVersion"`
	}
	if err := yaml.Unmarshal(read(t, "Chart.yaml"), &chart); err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	if app, ok := chart.AppVersion.(string); chart.Name != "transponder" || !plain.MatchString(chart.Version) || !ok || !plain.MatchString(app) {
		t.Errorf("the chart is %+v", chart)
	}
}
