package main

import (
	"encoding/json"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// board is a dashboard.
type board struct {
	name, title, about string
	variables          []variable
	rows               []row
}

// variable is a list at the top of a dashboard from which one, or several, are chosen.
type variable struct {
	name, label, query string
	several            bool
}

type row struct {
	title  string
	panels []panel
}

type panel struct {
	kind               kind
	title, about, unit string
	queries            []query
}

type kind int

const (
	lines  kind = iota // over time
	number             // the present value
	list               // a row for each series
)

type query struct{ expr, legend string }

// one makes the queries of a panel that has only one.
func one(expr, legend string) []query { return []query{{expr, legend}} }

// The size of a panel, of 24 columns.
const (
	linesWidth, linesHeight   = 8, 8
	numberWidth, numberHeight = 4, 4
	listWidth, listHeight     = 24, 8
)

var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}

// json returns the dashboard as Grafana reads it.
func (b board) json() ([]byte, error) {
	//lint:ignore SA1019 Grafana 10 and 11 do not read the format that replaces this one
	d := dashboard.NewDashboardBuilder(b.title).Uid("transponder-"+b.name).Description(b.about).Tags([]string{"transponder"}).
		Timezone("browser").Time("now-1h", "now").Refresh("10s").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").Type("prometheus"))
	for _, v := range b.variables {
		one := dashboard.NewQueryVariableBuilder(v.name).Label(v.label).Query(dashboard.StringOrMap{String: &v.query}).Datasource(source).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc)
		if v.several {
			one.Multi(true).IncludeAll(true).AllValue(".*")
		}
		d.WithVariable(one)
	}
	id := uint32(0)
	for _, r := range b.rows {
		id++
		d.WithRow(dashboard.NewRowBuilder(r.title).Id(id))
		for _, p := range r.panels {
			id++
			d.WithPanel(p.builder(id))
		}
	}
	built, err := d.Build()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(built, "", "  ")
	return append(text, '\n'), err
}

func (p panel) builder(id uint32) cog.Builder[dashboard.Panel] {
	var targets []cog.Builder[variants.Dataquery]
	for i, q := range p.queries {
		t := prometheus.NewDataqueryBuilder().Expr(q.expr).LegendFormat(q.legend).RefId(string(rune('A' + i))).Datasource(source)
		if p.kind == list {
			t.Instant().Format(prometheus.PromQueryFormatTable)
		}
		targets = append(targets, t)
	}
	switch p.kind {
	case number:
		return stat.NewPanelBuilder().Id(id).Title(p.title).Description(p.about).Unit(p.unit).Datasource(source).Targets(targets).
			Span(numberWidth).Height(numberHeight)
	case list:
		return table.NewPanelBuilder().Id(id).Title(p.title).Description(p.about).Unit(p.unit).Datasource(source).Targets(targets).
			Span(listWidth).Height(listHeight).Footer(common.NewTableFooterOptionsBuilder().Reducer([]string{"sum"})) // not shown; Grafana wants one
	}
	return timeseries.NewPanelBuilder().Id(id).Title(p.title).Description(p.about).Unit(p.unit).Datasource(source).Targets(targets).
		Span(linesWidth).Height(linesHeight).FillOpacity(10).ShowPoints(common.VisibilityModeNever)
}
