//go:build !race

// With the race detector the types of Grafana would be compiled a second time, which takes longer than all that is tested here. There is no goroutine.

//lint:file-ignore SA1019 Grafana 10 and 11 do not read the format that replaces this one

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// The files are those that the program writes.
func TestFilesAreNew(t *testing.T) {
	folder := t.TempDir()
	if err := write(folder); err != nil {
		t.Fatal(err)
	}
	for _, b := range []board{overview, stream, node} {
		want, err := os.ReadFile(filepath.Join(folder, b.name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(b.name + ".json"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s.json is not what the program writes (%v): go run ./deploy/grafana", b.name, err)
		}
	}
}

// The files keep to the schema of Grafana: they have no field that Grafana does not know, and each value is of the right kind.
func TestSchema(t *testing.T) {
	r := cog.NewRuntime()
	r.RegisterDataqueryVariant(prometheus.VariantConfig())
	r.RegisterPanelcfgVariant(stat.VariantConfig())
	r.RegisterPanelcfgVariant(table.VariantConfig())
	r.RegisterPanelcfgVariant(timeseries.VariantConfig())
	for _, b := range []board{overview, stream, node} {
		text, err := os.ReadFile(b.name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard.Dashboard
		if err := d.UnmarshalJSONStrict(text); faulty(err) {
			t.Errorf("%s.json: %v", b.name, err)
		}
		if err := d.Validate(); faulty(err) {
			t.Errorf("%s.json: %v", b.name, err)
		}
		wrong := bytes.Replace(text, []byte(`"expr"`), []byte(`"exprs"`), 1)
		if err := new(dashboard.Dashboard).UnmarshalJSONStrict(wrong); !faulty(err) {
			t.Errorf("%s.json: a field that Grafana does not know passes", b.name)
		}
	}
}

// faulty reports whether a check found a fault. One that found none may return an empty list, which is not nil.
func faulty(err error) bool {
	var list cog.BuildErrors
	return err != nil && (!errors.As(err, &list) || len(list) > 0)
}
