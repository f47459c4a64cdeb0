package helmtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// releases of Kubernetes whose schemas the chart is held to, with the sums of their modules.
var releases = []struct{ version, sum string }{
	{"v1.34.0", "h1:NvUrwPAVB4W3mSOpJ/RtNGHWWYyUP/xPaX5rUSpzA0w="},
	{"v1.37.2", "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE="},
}

// schemas are those of each release, by apiVersion and kind.
type schemas map[string]map[string]*jsonschema.Schema

// loadKubernetes reads the OpenAPI documents of Kubernetes, as the API server of each release publishes it, from the modules of Kubernetes. None of their
// code is compiled.
func loadKubernetes(t *testing.T) schemas {
	t.Helper()
	all := schemas{}
	for _, r := range releases {
		var module struct{ Dir, Sum, Error string }
		cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "k8s.io/kubernetes@"+r.version)
		out, err := cmd.Output()
		if err := json.Unmarshal(out, &module); err != nil || module.Error != "" {
			t.Fatalf("fetch the schemas: %v %s", err, module.Error)
		}
		if err != nil || module.Sum != r.sum {
			t.Fatalf("Kubernetes %s has the sum %s, want %s: %v", r.version, module.Sum, r.sum, err)
		}
		text, err := os.ReadFile(filepath.Join(module.Dir, "api", "openapi-spec", "swagger.json"))
		if err != nil {
			t.Fatal(err)
		}
		all[r.version] = compile(t, text)
	}
	return all
}

// compile makes schemas of an OpenAPI document. Unlike the document, they refuse unknown fields, as the API server does for kubectl, and take the two types that
// may be numbers.
func compile(t *testing.T, text []byte) map[string]*jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	definitions := document.(map[string]any)["definitions"].(map[string]any)
	kinds := map[string]string{}
	for name, d := range definitions {
		d := d.(map[string]any)
		if _, closed := d["additionalProperties"]; d["properties"] != nil && !closed {
			d["additionalProperties"] = false
		}
		switch {
		case strings.HasSuffix(name, ".intstr.IntOrString"):
			d["type"] = []any{"string", "integer"}
		case strings.HasSuffix(name, ".resource.Quantity"):
			d["type"] = []any{"string", "number"}
		}
		of, _ := d["x-kubernetes-group-version-kind"].([]any)
		if len(of) != 1 {
			continue // a type of all APIs
		}
		k := of[0].(map[string]any)
		version := strings.TrimPrefix(fmt.Sprintf("%s/%s", k["group"], k["version"]), "/")
		kinds[fmt.Sprintf("%s %s", version, k["kind"])] = name
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file:///swagger.json", map[string]any{"definitions": definitions}); err != nil {
		t.Fatal(err)
	}
	out := map[string]*jsonschema.Schema{}
	for _, kind := range []string{"apps/v1 StatefulSet", "apps/v1 DaemonSet", "v1 Service", "v1 ConfigMap", "v1 Pod", "v1 ServiceAccount",
		"networking.k8s.io/v1 Ingress", "policy/v1 PodDisruptionBudget"} {
		if out[kind], err = c.Compile("file:///swagger.json#/definitions/" + kinds[kind]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// check holds an object to the schemas of all releases, and to the rules for names.
func (s schemas) check(t *testing.T, o object) {
	t.Helper()
	for release, all := range s {
		switch o.APIVersion + " " + o.Kind {
		case "monitoring.coreos.com/v1 ServiceMonitor":
			if err := yaml.UnmarshalStrict(o.json, new(monitoringv1.ServiceMonitor)); err != nil {
				t.Errorf("%s: %v", o, err)
			}
		case "monitoring.coreos.com/v1 PrometheusRule":
			if err := yaml.UnmarshalStrict(o.json, new(monitoringv1.PrometheusRule)); err != nil {
				t.Errorf("%s: %v", o, err)
			}
		default:
			schema := all[o.APIVersion+" "+o.Kind]
			if schema == nil {
				t.Errorf("Kubernetes %s has no %s %s", release, o.APIVersion, o.Kind)
				continue
			}
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(o.json))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s, Kubernetes %s: %v\n%s", o, release, err, o.text)
			}
		}
	}
	faults := validation.IsDNS1123Subdomain(o.Metadata.Name)
	for k, v := range o.Metadata.Labels {
		faults = append(faults, append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...)...)
	}
	if len(faults) > 0 {
		t.Errorf("%s: %v", o, faults)
	}
}

// TestSchemasRefuse: the schemas find what they are there for.
func TestSchemasRefuse(t *testing.T) {
	all := loadKubernetes(t)
	for _, tt := range []struct{ text, want string }{
		{"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{prot: 1}]}", "additional properties 'prot' not allowed"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{name: a}]}", "missing property 'port'"},
		{"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: a}\nspec: {maxUnavailable: true}", "got boolean, want integer or string"},
		{"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a}\nspec: {replicas: '1'}", "got string, want integer"},
	} {
		text, err := yaml.YAMLToJSONStrict([]byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		var o object
		if err := json.Unmarshal(text, &o); err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for release, s := range all {
			if err := s[o.APIVersion+" "+o.Kind].Validate(v); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Kubernetes %s says %v of\n%s\nwant %q", release, err, tt.text, tt.want)
			}
		}
	}
}

// checkPods holds the pods to what no schema says: names are there that others use, and a pod may do nothing that it need not do.
func checkPods(t *testing.T, objects []object) {
	t.Helper()
	var pod corev1.PodTemplateSpec
	for _, o := range objects {
		switch o.Kind {
		case "StatefulSet":
			s := one[appsv1.StatefulSet](t, objects, o.Kind, o.Metadata.Name)
			pod = s.Spec.Template
			for _, c := range s.Spec.VolumeClaimTemplates {
				pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: c.Name})
			}
			one[corev1.Service](t, objects, "Service", s.Spec.ServiceName)
			if !labels.SelectorFromSet(s.Spec.Selector.MatchLabels).Matches(labels.Set(pod.Labels)) {
				t.Errorf("the StatefulSet selects %v, and its pods have %v", s.Spec.Selector.MatchLabels, pod.Labels)
			}
		case "DaemonSet":
			s := one[appsv1.DaemonSet](t, objects, o.Kind, o.Metadata.Name)
			pod = s.Spec.Template
			if !labels.SelectorFromSet(s.Spec.Selector.MatchLabels).Matches(labels.Set(pod.Labels)) {
				t.Errorf("the DaemonSet selects %v, and its pods have %v", s.Spec.Selector.MatchLabels, pod.Labels)
			}
		}
	}
	spec := pod.Spec
	if len(spec.Containers) != 1 {
		t.Fatalf("a pod has %d containers", len(spec.Containers))
	}
	c := spec.Containers[0]
	volumes, ports := map[string]bool{}, map[string]bool{}
	for _, v := range spec.Volumes {
		if volumes[v.Name] {
			t.Errorf("there are two volumes %s", v.Name)
		}
		volumes[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %s", m.Name)
		}
		if strings.Contains(m.SubPath, "$") {
			t.Errorf("Kubernetes puts no variables into the subPath of %s", m.Name)
		}
	}
	for _, p := range c.Ports {
		ports[p.Name] = true
		if faults := validation.IsValidPortName(p.Name); len(faults) > 0 {
			t.Errorf("port %s: %v", p.Name, faults)
		}
		if spec.HostNetwork && p.HostPort != 0 && p.HostPort != p.ContainerPort {
			t.Errorf("in the network of the node, port %d cannot be %d there", p.ContainerPort, p.HostPort)
		}
	}
	var known []string
	for _, e := range c.Env {
		for _, m := range strings.Split(e.Value, "$(")[1:] {
			name, _, _ := strings.Cut(m, ")")
			if !strings.Contains(strings.Join(known, " ")+" ", name+" ") {
				t.Errorf("%s uses %s, which is not known above it", e.Name, name)
			}
		}
		known = append(known, e.Name)
	}
	if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
		t.Error("Kubernetes sets TRANSPONDER_PORT and others, which the server takes for settings")
	}
	if spec.HostNetwork && spec.DNSPolicy != corev1.DNSClusterFirstWithHostNet {
		t.Error("in the network of the node the names of Services are not found")
	}
	if s := spec.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || *s.RunAsUser != 65532 || *s.FSGroup != 65532 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod may be %+v", s)
	}
	if s := c.SecurityContext; s == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" || s.Capabilities.Add != nil {
		t.Errorf("the container may be %+v", s)
	}
	if *spec.AutomountServiceAccountToken {
		t.Error("the pod gets a token for Kubernetes")
	}
	for _, o := range objects {
		if o.Kind != "Service" {
			continue
		}
		s := one[corev1.Service](t, objects, "Service", o.Metadata.Name)
		podLabels := labels.Set{"statefulset.kubernetes.io/pod-name": o.Metadata.Name}
		for k, v := range pod.Labels {
			podLabels[k] = v
		}
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(podLabels) {
			t.Errorf("%s selects %v, and the pods have %v", o, s.Spec.Selector, podLabels)
		}
		if s.Spec.Selector["app.kubernetes.io/version"] != "" {
			t.Errorf("%s loses the pods that an upgrade has not replaced yet", o)
		}
		for _, p := range s.Spec.Ports {
			if !ports[p.TargetPort.StrVal] {
				t.Errorf("%s: the pods have no port %s", o, p.TargetPort.StrVal)
			}
		}
		if own := s.Spec.Selector["statefulset.kubernetes.io/pod-name"]; own != "" && !s.Spec.PublishNotReadyAddresses {
			t.Errorf("%s forgets a server that drains, whose streams go on", o)
		}
	}
	test := one[corev1.Pod](t, objects, "Pod", "show-transponder-test")
	for _, o := range objects {
		if o.Kind == "Service" {
			if s := one[corev1.Service](t, objects, "Service", o.Metadata.Name); labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(test.Labels)) {
				t.Errorf("%s sends clients to the pod of helm test", o)
			}
		}
	}
}
