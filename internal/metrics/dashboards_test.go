package metrics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what the tests read of a dashboard of Grafana.
type dashboard struct {
	UID, Title, Description string
	Panels                  []struct {
		ID                       int
		Type, Title, Description string
		FieldConfig              struct{ Defaults struct{ Unit string } }
		Targets                  []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct {
			Type, Name string
			Query      string
		}
	}
}

// units are the units of Grafana that our panels have.
var units = []string{"none", "s", "bytes", "bps", "Bps", "ops", "pps", "percentunit", "suffix: cores"}

// builtIn are variables that Grafana itself defines.
var builtIn = map[string]string{"__rate_interval": "5m"}

var (
	variableName = regexp.MustCompile(`\$\{?(\w+)\}?`)
	labelValues  = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	legendLabel  = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// Each panel of a dashboard says what it shows and in which unit. Its queries can be parsed, ask for metrics and labels that /metrics has, and use
// variables that are defined.
func TestDashboards(t *testing.T) {
	all := showsAll(t)
	files, err := filepath.Glob(deploy + "grafana/*.json")
	if err != nil || len(files) != 3 {
		t.Fatalf("dashboards %v, %v", files, err)
	}
	titles, panels := map[string]bool{}, 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var d dashboard
			if err := json.Unmarshal(text, &d); err != nil {
				t.Fatal(err)
			}
			if titles[d.UID] || titles[d.Title] || d.Description == "" {
				t.Errorf("uid %q, title %q, description %q", d.UID, d.Title, d.Description)
			}
			titles[d.UID], titles[d.Title] = true, true
			defined := map[string]bool{}
			resolve := func(query string) string {
				return variableName.ReplaceAllStringFunc(query, func(use string) string {
					name := variableName.FindStringSubmatch(use)[1]
					value, ok := builtIn[name]
					if !ok && !defined[name] {
						t.Errorf("%s: there is no variable %s", query, use)
					}
					if ok {
						return value
					}
					return "x"
				})
			}
			for _, v := range d.Templating.List {
				if v.Type == "query" {
					m := labelValues.FindStringSubmatch(v.Query)
					if m == nil {
						t.Fatalf("the variable %s asks %s", v.Name, v.Query)
					}
					all.check(t, "count by ("+m[2]+") ("+resolve(m[1])+")")
				}
				defined[v.Name] = true
			}
			if !defined["datasource"] || strings.Contains(strings.ReplaceAll(string(text), `"uid": "${datasource}"`, ""), `"uid": "$`) {
				t.Errorf("data sources must be ${datasource}")
			}
			ids := map[int]bool{}
			for _, p := range d.Panels {
				if ids[p.ID] {
					t.Errorf("two panels have the id %d", p.ID)
				}
				ids[p.ID] = true
				if p.Type == "row" {
					continue
				}
				panels++
				if p.Title == "" || p.Description == "" || !slices.Contains(units, p.FieldConfig.Defaults.Unit) || len(p.Targets) == 0 {
					t.Errorf("panel %q: description %q, unit %q, %d queries", p.Title, p.Description, p.FieldConfig.Defaults.Unit, len(p.Targets))
				}
				for _, q := range p.Targets {
					query := resolve(q.Expr)
					all.check(t, query)
					for _, m := range legendLabel.FindAllStringSubmatch(q.LegendFormat, -1) {
						all.check(t, "count by ("+m[1]+") ("+query+")")
					}
				}
			}
		})
	}
	if panels < 50 {
		t.Errorf("only %d panels", panels)
	}
}
