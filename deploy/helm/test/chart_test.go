package helmtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	dependencies "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

// top is the top of the tree.
var top = filepath.Join("..", "..", "..")

// chartCopy returns a copy of the chart that has a chart in the place of NATS's, which would have to be fetched. This chart renders what the tests want to
// see: that it is there, and its values.
func chartCopy(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "transponder")
	write := func(name, text string) {
		file := filepath.Join(dir, "charts", "nats", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source := filepath.Join(top, "deploy", "helm", "transponder")
	err := filepath.WalkDir(source, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(source, file)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(file) // of the file that a link leads to
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	write("Chart.yaml", "apiVersion: v2\nname: nats\nversion: 2.14.2\n")
	write("values.yaml", "config: {jetstream: {enabled: false, fileStore: {enabled: true}}, nats: {port: 4222}}\n")
	write("templates/values.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nats-values}\ndata:\n  values: {{ .Values | toJson | quote }}\n")
	return dir
}

// parse reads values in the form of YAML.
func parse(t *testing.T, values string) map[string]any {
	t.Helper()
	v, err := loader.LoadValues(strings.NewReader(values))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// render renders a chart as "helm template show DIR --values FILE" does. It returns the objects, and the notes.
func render(t *testing.T, dir, release, values string) (objects []object, notes string, err error) {
	t.Helper()
	c, err := loader.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	v := parse(t, values)
	if err := dependencies.ProcessDependencies(c, v); err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(c, v, common.ReleaseOptions{Name: release, Namespace: "tv", Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, "", err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, "", err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Base(name) == "NOTES.txt" {
			notes = files[name]
			continue
		}
		for text := range strings.SplitSeq("\n"+files[name], "\n---") {
			asJSON, err := yaml.YAMLToJSONStrict([]byte(text))
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, text)
			}
			if string(asJSON) == "null" {
				continue
			}
			o := object{file: name, text: text, json: asJSON}
			if err := json.Unmarshal(asJSON, &o); err != nil || o.Kind == "" || o.Metadata.Name == "" {
				t.Fatalf("%s has an object without a kind or a name: %v\n%s", name, err, text)
			}
			objects = append(objects, o)
		}
	}
	return objects, notes, nil
}

// object is one that was rendered.
type object struct {
	APIVersion, Kind string
	Metadata         struct {
		Name                string
		Labels, Annotations map[string]string
	}

	file, text string
	json       []byte
}

func (o object) String() string { return o.Kind + " " + o.Metadata.Name }

// one returns the object of a kind and a name, in the type of Kubernetes.
func one[T any](t *testing.T, objects []object, kind, name string) T {
	t.Helper()
	var v T
	for _, o := range objects {
		if o.Kind == kind && o.Metadata.Name == name {
			if err := yaml.UnmarshalStrict(o.json, &v); err != nil {
				t.Fatalf("%s: %v", o, err)
			}
			return v
		}
	}
	t.Fatalf("there is no %s %s, only %v", kind, name, objects)
	return v
}

// image is what every installation must say.
const image = "image: {repository: registry.example.com/transponder, tag: 1.2.3}\n"

// installations are values that work, each with the kinds and names of what they make, beyond what all of them make.
var installations = []struct{ name, values, more string }{
	{"as shipped", "", ""},
	{"DaemonSet", "kind: DaemonSet", ""},
	{"DaemonSet with a folder", "kind: DaemonSet\npersistence: {hostPath: /srv/transponder}\nnodeSelector: {role: media}\ntolerations: [{key: media, operator: Exists}]", ""},
	{"port of the node", "media: {hostNetwork: false}\nports: {mediaTCP: 31002, https: 8444, wss: 8443, rtmps: 1936, ws: -1}\ntls: {existingSecret: cert}", ""},
	{"load balancers", "replicas: 2\n" + cluster + `
media: {hostNetwork: false, hostPort: false, addresses: [192.0.2.1, "192.0.2.2,2001:db8::2"]}
ports: {mediaTCP: 31002}
perPodService: {enabled: true, annotations: {all: "1"}, annotationsPerPod: [{one: "1"}], loadBalancerClass: example.com/lb}`, "Service show-transponder-0, Service show-transponder-1"},
	{"NATS inside", "replicas: 3\nnats: {enabled: true}\n" + secrets, "ConfigMap nats-values"},
	{"NATS outside, address is secret", "replicas: 3\nexistingSecret: s\nsecretFiles: {secrets_key_file: key}\nsecretSettings: {cluster_nats_url: nats}", ""},
	{"no cluster", "replicas: 0", ""},
	{"nothing kept", "persistence: {enabled: false}\npodDisruptionBudget: {enabled: false}\nserviceAccount: {create: false}", ""},
	{"Ingress", `
ingress: {enabled: true, className: nginx, annotations: {a: b}, hosts: [live.example.com], tls: [{hosts: [live.example.com], secretName: c}]}
settings: {http_allowed_hosts: other.example.com, trusted_proxies: [10.0.0.0/8, 192.168.0.0/16]}`, "Ingress show-transponder"},
	{"Ingress without a name", "ingress: {enabled: true}", "Ingress show-transponder"},
	{"seen", `
metrics: {allow: [10.0.0.0/8]}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboards: {enabled: true, annotations: {grafana_folder: Video}}`,
		"ConfigMap show-transponder-dashboard-node, ConfigMap show-transponder-dashboard-overview, ConfigMap show-transponder-dashboard-stream, " +
			"PrometheusRule show-transponder, ServiceMonitor show-transponder"},
	{"seen with a key", "serviceMonitor: {enabled: true, authorization: {credentials: {name: s, key: metrics}}}", "ServiceMonitor show-transponder"},
	{"everything else", `
imagePullSecrets: [{name: registry}]
settings: {log_json: true, rtp_receive_buffer_size: 4194304, sip_denied_callees: '^(00|\\+)', push_allow: [a.example.com, "*.b.example.com:1935"], ip: 192.0.2.1}
extraVolumes: [{name: wav, configMap: {name: wav}}]
extraVolumeMounts: [{name: wav, mountPath: /var/lib/transponder/media}]
extraEnv: [{name: GOMEMLIMIT, value: 1GiB}]
podAnnotations: {a: b}
podLabels: {team: live}
priorityClassName: high
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: b}}}]
service: {type: LoadBalancer, publishNotReadyAddresses: true, annotations: {a: b}}
persistence: {storageClass: fast, annotations: {a: b}, accessModes: [ReadWriteOncePod]}
serviceAccount: {name: other, annotations: {a: b}}`, ""},
}

const secrets = "existingSecret: s\nsecretFiles: {secrets_key_file: key, rest_users_file: users}\nsecretSettings: {token_secret: token}"

const cluster = secrets + "\ncluster: {natsUrl: 'nats://nats.example.com:4222', name: live}"

// TestInstallations: Helm finds nothing to say about the chart with any of these values, and renders the objects that belong to them. All of them have the
// form that Kubernetes and the Prometheus operator demand.
func TestInstallations(t *testing.T) {
	dir := chartCopy(t)
	kubernetes := loadKubernetes(t)
	for _, tt := range installations {
		t.Run(tt.name, func(t *testing.T) {
			for _, m := range lint.RunAll(dir, parse(t, image+tt.values), "tv").Messages {
				if !strings.Contains(m.Error(), "icon is recommended") {
					t.Error(m)
				}
			}
			objects, notes, err := render(t, dir, "show", image+tt.values)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"ConfigMap show-transponder", "Pod show-transponder-test", "Service show-transponder", "Service show-transponder-nodes"}
			v := parse(t, tt.values)
			if v["kind"] == "DaemonSet" {
				want = append(want, "DaemonSet show-transponder")
			} else {
				want = append(want, "StatefulSet show-transponder")
			}
			switch {
			case strings.Contains(tt.values, "create: false"):
			case strings.Contains(tt.values, "name: other"):
				want = append(want, "ServiceAccount other")
			default:
				want = append(want, "ServiceAccount show-transponder")
			}
			if !strings.Contains(tt.values, "podDisruptionBudget: {enabled: false}") {
				want = append(want, "PodDisruptionBudget show-transponder")
			}
			if tt.more != "" {
				want = append(want, strings.Split(tt.more, ", ")...)
			}
			slices.Sort(want)
			var got []string
			for _, o := range objects {
				got = append(got, o.String())
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("it renders\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for _, o := range objects {
				kubernetes.check(t, o)
			}
			checkPods(t, objects)
			if !strings.HasPrefix(notes, "Transponder 1.2.3 runs as ") || strings.Contains(notes, "%!") || strings.Contains(notes, "<no value>") {
				t.Errorf("the notes are\n%s", notes)
			}
		})
	}
}

// TestMistakes: a value that cannot work ends the installation with a sentence that names it. Where it is of a wrong type, helm lint says so, too.
func TestMistakes(t *testing.T) {
	dir := chartCopy(t)
	for _, tt := range []struct{ name, values, want string }{
		{"no image", "image: {repository: ''}", "image.repository: say where"},
		{"word for a number", "replicas: many", "at '/replicas': got string, want integer"},
		{"number for a word", "image: {tag: 1.2}", "at '/image/tag': got number, want string"},
		{"word for a truth", "media: {hostNetwork: 'yes'}", "at '/media/hostNetwork': got string, want boolean"},
		{"text for a list", "ingress: {hosts: a.example.com}", "at '/ingress/hosts': got string, want array"},
		{"text for settings", "settings: log_level=debug", "at '/settings': got string, want object"},
		{"object for a setting", "settings: {http: {port: 80}}", "at '/settings/http': got object"},
		{"unknown value", "replicaCount: 2", "additional properties 'replicaCount' not allowed"},
		{"unknown port", "ports: {sip: 5060}", "additional properties 'sip' not allowed"},
		{"no HTTP", "ports: {http: -1}", "at '/ports/http': minimum: got -1, want 1"},
		{"any port", "ports: {rtmp: 0}", "at '/ports/rtmp': 'not' failed"},
		{"another kind", "kind: Deployment", "at '/kind': value must be one of 'StatefulSet', 'DaemonSet'"},
		{"media by NodePort", "perPodService: {type: NodePort}", "at '/perPodService/type': value must be one of"},
		{"too long a drain", "drainSeconds: 100000", "at '/drainSeconds': maximum: got 100,000, want 86,400"},
		{"two servers alone", "replicas: 2", "replicas: more than one server needs NATS"},
		{"no shared key", "replicas: 2\nnats: {enabled: true}", "secretFiles.secrets_key_file: servers with NATS share a key"},
		{"no Secret", "secretSettings: {token_secret: t}", "existingSecret: name the Secret"},
		{"two NATS", "nats: {enabled: true}\n" + cluster, "cluster.natsUrl and nats.enabled: set one of them"},
		{"long name", "fullnameOverride: transponder-of-the-evening-show\nreplicas: 11\n" + cluster, `fullnameOverride: set a shorter name; servers with NATS are called as their pods, and "transponder-of-the-evening-show-10" has`},
		{"long name of a DaemonSet", "kind: DaemonSet\nfullnameOverride: transponder-of-the-evenings\n" + cluster, "fullnameOverride: set a shorter name"},
		{"setting of a port", "settings: {http.port: 80}", "settings.http.port: set ports.http"},
		{"setting of the drain", "settings: {drain_ms: 5}", "settings.drain_ms: set drainSeconds"},
		{"setting and secret", "settings: {token_secret: x}\n" + secrets, "settings.token_secret: set secretSettings.token_secret"},
		{"setting of two lines", `settings: {user_agent: "a\nb=c"}`, "settings.user_agent: a setting is one line"},
		{"addresses for nodes", "kind: DaemonSet\nmedia: {addresses: [192.0.2.1]}", "media.addresses: only the pods of a StatefulSet"},
		{"too few addresses", "replicas: 2\nmedia: {addresses: [192.0.2.1]}\n" + cluster, "media.addresses: 1 are too few for 2 replicas"},
		{"addresses twice", "media: {addresses: [192.0.2.1]}\nsettings: {ip: 192.0.2.2}", "settings.ip: set media.addresses"},
		{"Services of a DaemonSet", "kind: DaemonSet\nperPodService: {enabled: true}", "perPodService.enabled: only the pods of a StatefulSet"},
		{"media by nothing", "media: {hostNetwork: false, hostPort: false}", "media.hostPort: without the port of the node"},
		{"media at no address", "media: {hostNetwork: false, hostPort: false}\nperPodService: {enabled: true}", "media.addresses: say under which addresses"},
		{"Prometheus from nowhere", "serviceMonitor: {enabled: true}", "metrics.allow: say in which networks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values := tt.values
			if !strings.Contains(values, "image: ") {
				values = image + values
			}
			_, _, err := render(t, dir, "show", values)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it says %v, want %q", err, tt.want)
			}
			if !strings.Contains(tt.want, "at '/") && !strings.Contains(tt.want, "additional properties") {
				return
			}
			var said []string
			for _, m := range lint.RunAll(dir, parse(t, values), "tv").Messages {
				if m.Severity == support.ErrorSev {
					said = append(said, m.Error())
				}
			}
			if !strings.Contains(strings.Join(said, "\n"), tt.want) {
				t.Errorf("helm lint says %q, want %q", said, tt.want)
			}
		})
	}
}

// TestNATS: the chart of NATS gets a JetStream that three servers keep, and the servers get the address that the chart of NATS gives its Service.
func TestNATS(t *testing.T) {
	dir := chartCopy(t)
	for _, tt := range []struct{ release, values, want string }{
		{"show", "nats: {enabled: true}", "nats://show-nats:4222"},
		{"my-nats", "nats: {enabled: true}", "nats://my-nats:4222"},
		{"show", "nats: {enabled: true, nameOverride: bus}", "nats://show-bus:4222"},
		{"show", "nats: {enabled: true, fullnameOverride: bus, config: {nats: {port: 5222}}}", "nats://bus:5222"},
	} {
		objects, _, err := render(t, dir, tt.release, image+secrets+"\n"+tt.values)
		if err != nil {
			t.Fatal(err)
		}
		var settings string
		for _, o := range objects {
			if o.Kind == "ConfigMap" && o.Metadata.Name != "nats-values" {
				settings += o.text
			}
		}
		if !strings.Contains(settings, "cluster_nats_url="+tt.want+"\n") {
			t.Errorf("%s with %s: the settings lack %s:\n%s", tt.release, tt.values, tt.want, settings)
		}
		var values struct {
			Config struct {
				Cluster struct {
					Enabled  bool
					Replicas int
				}
				Jetstream struct {
					Enabled   bool
					FileStore struct {
						Enabled bool
						PVC     struct{ Size string }
					}
				}
			}
		}
		text := one[struct{ Data map[string]string }](t, plain(objects, "nats-values"), "ConfigMap", "nats-values").Data["values"]
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			t.Fatal(err)
		}
		c := values.Config
		if got := fmt.Sprintf("%v %d %v %v %s", c.Cluster.Enabled, c.Cluster.Replicas, c.Jetstream.Enabled, c.Jetstream.FileStore.Enabled, c.Jetstream.FileStore.PVC.Size); got != "true 3 true true 10Gi" {
			t.Errorf("NATS gets %s", got)
		}
	}
}

// plain returns the objects with a name, without what the caller's type does not have.
func plain(objects []object, name string) []object {
	var out []object
	for _, o := range objects {
		if o.Metadata.Name == name {
			var whole map[string]json.RawMessage
			_ = json.Unmarshal(o.json, &whole) // render has read it already
			o.json = []byte(`{"data":` + string(whole["data"]) + `}`)
			out = append(out, o)
		}
	}
	return out
}

// TestOneSource: the alerts and the dashboards in the objects are those of deploy/prometheus and deploy/grafana, and links in the chart lead there.
func TestOneSource(t *testing.T) {
	// Not the copy: helm must follow the links.
	c, err := loader.Load(filepath.Join(top, "deploy", "helm", "transponder"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range c.Files {
		files[f.Name] = string(f.Data)
	}
	objects, _, err := render(t, chartCopy(t), "show", image+"metrics: {allow: [10.0.0.0/8]}\nprometheusRule: {enabled: true}\ndashboards: {enabled: true}")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"prometheus/alerts.yml", "grafana/overview.json", "grafana/stream.json", "grafana/node.json"} {
		source, err := os.ReadFile(filepath.Join(top, "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		if files["files/"+path.Base(name)] != string(source) {
			t.Errorf("helm reads another %s", name)
		}
		if name == "prometheus/alerts.yml" {
			var want any
			if err := yaml.UnmarshalStrict(source, &want); err != nil {
				t.Fatal(err)
			}
			got := one[map[string]any](t, objects, "PrometheusRule", "show-transponder")["spec"]
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the rules are %v, want %v", got, want)
			}
			continue
		}
		word := strings.TrimSuffix(path.Base(name), ".json")
		text := one[struct{ Data map[string]string }](t, plain(objects, "show-transponder-dashboard-"+word), "ConfigMap", "show-transponder-dashboard-"+word).Data["transponder-"+word+".json"]
		if text != string(source) {
			t.Errorf("the dashboard %s is another", word)
		}
	}
}
