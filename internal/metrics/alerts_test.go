package metrics

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const deploy = "../../deploy/"

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func readYAML(t *testing.T, file string, to any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, to); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	readYAML(t, deploy+"prometheus/alerts.yml", &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 30 {
		t.Fatalf("only %d alerts", len(all))
	}
	return all
}

// Each alert asks for metrics that /metrics has, and says what has happened and which section of the runbook helps.
func TestAlerts(t *testing.T) {
	all := showsAll(t)
	for _, a := range alerts(t) {
		all.check(t, a.Expr)
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", a.Alert, s)
		}
		if a.Annotations["summary"] == "" || a.Annotations["runbook"] != "docs/runbook.md#"+strings.ToLower(a.Alert) {
			t.Errorf("%s: annotations %v", a.Alert, a.Annotations)
		}
	}
}

// The runbook has a section for each alert, and no other.
func TestRunbook(t *testing.T) {
	b, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(b), "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		sections[name] = text
	}
	for _, a := range alerts(t) {
		text, ok := sections[a.Alert]
		delete(sections, a.Alert)
		if !ok {
			t.Errorf("%s has no section", a.Alert)
		}
		for _, part := range []string{"Symptom", "Meaning", "Look at", "Do"} {
			if !regexp.MustCompile(`(?m)^- \*\*` + part + `:\*\* \S`).MatchString(text) {
				t.Errorf("the section of %s does not have %q", a.Alert, part)
			}
		}
	}
	for name := range sections {
		t.Errorf("the section %s has no alert", name)
	}
}

// Each alert has a unit test, in which the server a has the alert and another server has the same metrics without it.
func TestAlertsAreTested(t *testing.T) {
	var file struct {
		Tests []struct {
			Name   string `yaml:"name"`
			Series []struct {
				Series string `yaml:"series"`
			} `yaml:"input_series"`
			Alerts []struct {
				Name string `yaml:"alertname"`
				Want []struct {
					Labels map[string]string `yaml:"exp_labels"`
				} `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	readYAML(t, deploy+"prometheus/alerts_test.yml", &file)
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			for _, want := range a.Want {
				if i := want.Labels["instance"]; i != "" && i != "a:8081" {
					t.Errorf("%s fires on %s", test.Name, i)
				}
			}
			fires[a.Name] = len(a.Want) > 0
			for _, s := range test.Series {
				if strings.Contains(s.Series, `instance="b:8081"`) {
					quiet[a.Name] = true
				}
			}
			if why, ok := strings.CutPrefix(test.Name, a.Name+": "); !ok || why == "" {
				t.Errorf("the test %s does not say why %s is quiet on b", test.Name, a.Name)
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !quiet[a.Alert] {
			t.Errorf("%s: there is a test that it fires: %v, that it does not: %v", a.Alert, fires[a.Alert], quiet[a.Alert])
		}
	}
}

// promtool runs the program of Prometheus. make install-test installs it.
func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: make install-test does that")
	}
	cmd := exec.CommandContext(t.Context(), path, arguments...)
	cmd.Dir = deploy + "prometheus"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

func TestAlertsFire(t *testing.T) {
	t.Parallel()
	promtool(t, "test", "rules", "alerts_test.yml")
}

func TestPrometheusFiles(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml") // and the alerts, which it names
}
