//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

const prometheusFiles = "../../deploy/prometheus/"

// watcher is a real Prometheus.
type watcher struct {
	t   *testing.T
	api string
	log safeBuffer
}

// startPrometheus starts a Prometheus that watches a server with our configuration and alerts. It looks ten times as often as there, and an alert
// fires after a second.
func startPrometheus(t *testing.T, s *server, arguments ...string) *watcher {
	t.Helper()
	dir := t.TempDir()
	adapt := func(file string, change func(string) string) {
		b, err := os.ReadFile(prometheusFiles + file)
		if err != nil {
			t.Fatal(err)
		}
		after := change(string(b))
		if after == string(b) {
			t.Fatalf("%s is not what the test expects", file)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(after), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	adapt("prometheus.yml", strings.NewReplacer("10s", "1s", "localhost:8081", mustParse(t, s.rest).Host).Replace)
	adapt("alerts.yml", func(rules string) string {
		return regexp.MustCompile(`for: \d+[smh]`).ReplaceAllString(rules, "for: 1s")
	})

	p := &watcher{t: t}
	arguments = append(arguments, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	cmd := exec.Command("prometheus", arguments...)
	cmd.Stderr = &p.log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make install-test installs Prometheus", err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("prometheus: %v\n%s", err, p.log.String())
		}
	})
	listens := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
	testkit.Eventually(t, 30*time.Second, func() string {
		m := listens.FindStringSubmatch(p.log.String())
		if m == nil {
			return "prometheus does not listen: " + p.log.String()
		}
		p.api = "http://" + m[1] + "/api/v1"
		return ""
	})
	return p
}

// get asks the API and decodes its data.
func (p *watcher) get(path string, data any) error {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(p.api + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return nil
}

// query returns the series that a query yields now, each by its labels and with its value.
func (p *watcher) query(query string) ([]map[string]string, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.get("/query?query="+url.QueryEscape(query), &data); err != nil {
		return nil, err
	}
	var series []map[string]string
	for _, r := range data.Result {
		r.Metric["value"], _ = r.Value[1].(string)
		series = append(series, r.Metric)
	}
	return series, nil
}

// dashboards asks every query of the dashboards, with the variables filled in.
func (p *watcher) dashboards(variables *strings.Replacer) {
	p.t.Helper()
	files, _ := filepath.Glob("../../deploy/grafana/*.json")
	asked, answered := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			p.t.Fatal(err)
		}
		var board struct {
			Panels []struct{ Targets []struct{ Expr string } }
		}
		if err := json.Unmarshal(text, &board); err != nil {
			p.t.Fatal(err)
		}
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				series, err := p.query(variables.Replace(target.Expr))
				if err != nil {
					p.t.Errorf("%s: %s: %v", filepath.Base(file), target.Expr, err)
				}
				asked++
				if len(series) > 0 {
					answered++
				}
			}
		}
	}
	p.t.Logf("%d of %d queries of the dashboards have an answer", answered, asked)
	if answered < 40 {
		p.t.Errorf("only %d of %d queries of the dashboards have an answer", answered, asked)
	}
}

// hasNativeHistograms checks a Prometheus that reads native histograms. The only push that is live is the only time of its histogram, so each
// quantile must be that time, as exactly as the fine buckets are: 9 %.
func (p *watcher) hasNativeHistograms() {
	p.t.Helper()
	number := func(query string) (float64, error) {
		series, err := p.query(query)
		if err != nil || len(series) != 1 {
			return 0, fmt.Errorf("%s: %v %v", query, series, err)
		}
		return strconv.ParseFloat(series[0]["value"], 64)
	}
	testkit.Eventually(p.t, 20*time.Second, func() string {
		exact, err := number(`max(transponder_push_live_after_seconds)`)
		count, err2 := number(`histogram_count(transponder_pushes_live_after_seconds)`)
		quantile, err3 := number(`histogram_quantile(0.5, transponder_pushes_live_after_seconds)`)
		delays, err4 := number(`histogram_count(transponder_pushes_delay_seconds)`)
		if err := errors.Join(err, err2, err3, err4); err != nil {
			return err.Error()
		}
		if count != 1 || delays < 1 || quantile < exact/1.1 || quantile > exact*1.1 {
			return fmt.Sprintf("%v pushes were live after %v s, and after %v s by the histogram; %v delays", count, exact, quantile, delays)
		}
		return ""
	})
	if series, err := p.query(`transponder_pushes_live_after_seconds_bucket`); err != nil || len(series) != 0 {
		p.t.Errorf("this Prometheus reads classic buckets: %v %v", series, err)
	}
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A real Prometheus with our files reads a real server. It understands all alerts and all queries of the dashboards, and the alert for a push that
// cannot connect fires, for that push only.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	s := startServer(t, "rtmp_push_restore=true", "rtmp_push_restore_attempts=-1", "rtmp_push_restore_interval_ms=1000")
	publishPictures(t, s, "cam", 320, 180, 30)
	target, _ := startNginx(t)
	const key = "prometheus-hunter2"
	push := func(name, url string) (id string) {
		var started struct {
			ID string `json:"mediaSessionId"`
		}
		if code := s.post("/push/startup", map[string]any{"streamName": name, "rtmpUrl": url}, &started); code != http.StatusOK {
			t.Fatalf("startup answers %d", code)
		}
		return started.ID
	}
	nobody := "127.0.0.1:" + testkit.FreePort(t)
	good, bad := push("cam", target), push("cam", "rtmp://"+nobody+"/live/"+key)

	p, native := startPrometheus(t, s), startPrometheus(t, s, "--enable-feature=native-histograms")
	testkit.Eventually(t, 20*time.Second, func() string {
		var data struct {
			ActiveTargets []struct{ Health, LastError string }
		}
		if err := p.get("/targets", &data); err != nil || len(data.ActiveTargets) != 1 || data.ActiveTargets[0].Health != "up" {
			return fmt.Sprintf("targets %+v, %v", data, err)
		}
		return ""
	})
	testkit.Eventually(t, 20*time.Second, func() string {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
		if err := p.get("/rules", &data); err != nil || len(data.Groups) == 0 {
			return fmt.Sprintf("rules %+v, %v", data, err)
		}
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.Health != "ok" {
					return fmt.Sprintf("%s is %s: %s", r.Name, r.Health, r.LastError)
				}
			}
		}
		return ""
	})
	testkit.Eventually(t, 30*time.Second, func() string {
		var data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
		if err := p.get("/alerts", &data); err != nil {
			return err.Error()
		}
		var firing []string
		for _, a := range data.Alerts {
			if a.State == "firing" {
				firing = append(firing, a.Labels["alertname"]+" "+a.Labels["push"])
			}
		}
		if !slices.Contains(firing, "TransponderPushNotPublishing "+bad) {
			return fmt.Sprintf("what fires: %q", firing)
		}
		if slices.Contains(firing, "TransponderPushNotPublishing "+good) {
			t.Errorf("the alert fires for a push that is well: %q", firing)
		}
		return ""
	})

	for query, want := range map[string]map[string]string{
		`transponder_push_state{push="` + good + `"}`:                             {"state": "publishing", "reason": "", "stream": "cam", "value": "1"},
		`transponder_push_info{push="` + bad + `"}`:                               {"host": nobody, "value": "1"},
		`transponder_push_round_trip_seconds > 0`:                                 {"push": good},
		`transponder_push_live_after_seconds > 0`:                                 {"push": good},
		`abs(transponder_push_av_offset_seconds) < 1`:                             {"push": good},
		`transponder_push_retransmitted_segments_total{push="` + good + `"} >= 0`: {"push": good},
		`sum(transponder_pushes_live_after_seconds_count)`:                        {"value": "1"},
		`sum(transponder_pushes_delay_seconds_count) > 0`:                         {},
		`sum(transponder_push_frames_total{kind="video"}) > 0`:                    {},
	} {
		testkit.Eventually(t, 20*time.Second, func() string {
			series, err := p.query(query)
			if err != nil || len(series) != 1 {
				return fmt.Sprintf("%s: %v %v", query, series, err)
			}
			for k, v := range want {
				if series[0][k] != v {
					return fmt.Sprintf("%s: %v, want %v", query, series[0], want)
				}
			}
			return ""
		})
	}
	native.hasNativeHistograms()
	p.dashboards(strings.NewReplacer("$__rate_interval", "10s", "$stream", "cam", "$push", ".*", "$instance", mustParse(t, s.rest).Host))

	var names []string
	if err := p.get("/label/__name__/values", &names); err != nil || len(names) < 50 {
		t.Errorf("%d names of metrics, %v", len(names), err)
	}
	var all []map[string]string
	if err := p.get("/series?match[]="+url.QueryEscape(`{job="transponder"}`), &all); err != nil || len(all) < 100 {
		t.Fatalf("%d series, %v", len(all), err)
	}
	for _, labels := range all {
		for name, value := range labels {
			if strings.Contains(value, key) {
				t.Errorf("%s of %s holds a stream key", name, labels["__name__"])
			}
		}
	}
}
