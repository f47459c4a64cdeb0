// Command grafana writes the dashboards for Grafana 10 and later that lie beside it: go run ./deploy/grafana, in the root of the project.
//
// They ask a Prometheus whose job for this server is called transponder, as in deploy/prometheus/prometheus.yml. The tests of internal/metrics
// check that the files are those that this program writes, and that every metric in them exists.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := write(filepath.Join("deploy", "grafana")); err != nil {
		fmt.Fprintln(os.Stderr, "grafana:", err)
		os.Exit(1)
	}
}

// write writes the dashboards to a folder.
func write(folder string) error {
	for _, b := range []board{overview, stream, node} {
		text, err := b.json()
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, b.name+".json"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
