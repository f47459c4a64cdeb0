package metrics

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"transponder/internal/transponder"
)

// shown has the labels of each metric that /metrics shows, by name. Those that Prometheus adds are left out.
type shown map[string]map[string]bool

func showsAll(t *testing.T) shown {
	t.Helper()
	h, err := New(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(scrape(t, h)))
	if err != nil {
		t.Fatal(err)
	}
	binary := scrapeBinary(t, h)
	all := shown{"up": {}}
	for name, family := range families {
		has := map[string]bool{}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				has[l.GetName()] = true
			}
		}
		all[name] = has
		if family.GetType() == dto.MetricType_HISTOGRAM {
			bucket := map[string]bool{"le": true}
			for l := range has {
				bucket[l] = true
			}
			all[name+"_bucket"], all[name+"_sum"], all[name+"_count"] = bucket, has, has
			if binary[name].GetMetric()[0].GetHistogram().Schema == nil { // else it is a native histogram, too
				delete(all, name)
			}
		}
	}
	return all
}

// check reports what is wrong with a query.
func (all shown) check(t *testing.T, query string) {
	t.Helper()
	for _, fault := range all.faults(query) {
		t.Errorf("%s: %s", query, fault)
	}
}

// faults tells what is wrong with a query: it cannot be parsed, or it asks for a metric or a label that /metrics does not have.
func (all shown) faults(query string) (faults []string) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return []string{err.Error()}
	}
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	known := map[string]bool{"instance": true, "job": true}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		has, ok := all[selector.Name]
		if !ok {
			fault("there is no metric %s", selector.Name)
		}
		for l := range has {
			known[l] = true
		}
		for _, m := range selector.LabelMatchers {
			if m.Name == model.MetricNameLabel || m.Name == "instance" || m.Name == "job" {
				continue
			}
			if !has[m.Name] {
				fault("%s has no label %s", selector.Name, m.Name)
			}
			if m.Name == "state" && strings.HasPrefix(selector.Name, "transponder_push") && !strings.HasPrefix(m.Value, "$") {
				for state := range strings.SplitSeq(m.Value, "|") {
					if !slices.Contains(states(), state) {
						fault("no push is %s", state)
					}
				}
			}
		}
		return nil
	})
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		var by []string
		switch n := node.(type) {
		case *parser.AggregateExpr:
			by = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				by = slices.Concat(n.VectorMatching.MatchingLabels, n.VectorMatching.Include)
			}
		}
		for _, l := range by {
			if !known[l] {
				fault("no metric in it has the label %s", l)
			}
		}
		return nil
	})
	return faults
}

func states() (names []string) {
	for s := range transponder.Failed + 1 {
		names = append(names, lower(s))
	}
	return names
}

// TestChecker shows that a query that is wrong is found.
func TestChecker(t *testing.T) {
	all := showsAll(t)
	for _, query := range []string{
		"sum(", "transponder_nothing > 0", `transponder_pushes{kind="x"}`, `transponder_pushes{state="live"}`, "sum by (door) (transponder_pushes)",
		"transponder_players / on (pushh) transponder_streams", "transponder_state_write_seconds",
	} {
		if len(all.faults(query)) == 0 {
			t.Errorf("%s passes", query)
		}
	}
}
