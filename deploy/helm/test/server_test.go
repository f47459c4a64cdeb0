package helmtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// node stands for a node of Kubernetes with one pod: the folders and the environment that the pod would have, and its program as the user of the pod.
type node struct {
	t       *testing.T
	pod     corev1.PodSpec
	environ []string
	program string
	root    string // stands for /
	args    []string
}

// newNode makes the folders as a kubelet makes them, with the files of the Secret.
func newNode(t *testing.T, values string, secret map[string]string) *node {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(top, "bin", "transponder"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: run make helm, which builds it", err)
	}
	objects, _, err := render(t, chartCopy(t), "show", image+values)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp("", "transponder-node-") // t.TempDir has parents that other users may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	n := &node{t: t, pod: one[appsv1.StatefulSet](t, objects, "StatefulSet", "show-transponder").Spec.Template.Spec, program: program, root: root}
	n.folder("", 0o755)
	n.folder("etc/transponder", 0o755)
	n.folder("run/transponder/secrets", 0o755)
	n.folder("var/lib/transponder", 0o770|os.ModeSetgid)
	for name, text := range one[corev1.ConfigMap](t, objects, "ConfigMap", "show-transponder").Data {
		for _, folder := range []string{"/var/lib/transponder", "/run/transponder"} {
			text = strings.ReplaceAll(text, folder, root+folder)
		}
		n.file("etc/transponder/"+name, text, 0o644)
	}
	for name, text := range secret {
		n.file("run/transponder/secrets/"+name, text, 0o440)
	}
	c := n.pod.Containers[0]
	fields := map[string]string{"metadata.name": "show-transponder-0", "status.podIP": "127.0.0.1", "status.hostIP": "127.0.0.1"}
	known := strings.NewReplacer()
	var pairs []string
	for _, e := range c.Env {
		value := known.Replace(e.Value)
		if from := e.ValueFrom; from != nil && from.FieldRef != nil {
			value = fields[from.FieldRef.FieldPath]
		} else if from != nil {
			value = secret[from.SecretKeyRef.Key]
		}
		n.environ = append(n.environ, e.Name+"="+value)
		pairs = append(pairs, "$("+e.Name+")", value)
		known = strings.NewReplacer(pairs...)
	}
	for _, a := range c.Args {
		n.args = append(n.args, strings.ReplaceAll(a, "/etc/transponder", root+"/etc/transponder"))
	}
	return n
}

// asRoot says whether the files can have the owners that a kubelet gives them.
var asRoot = os.Geteuid() == 0

func (n *node) folder(name string, mode os.FileMode) {
	n.t.Helper()
	path := filepath.Join(n.root, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		n.t.Fatal(err)
	}
	n.own(path, mode)
}

func (n *node) file(name, text string, mode os.FileMode) {
	n.t.Helper()
	path := filepath.Join(n.root, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.own(path, mode)
}

// own gives a file the owner that Kubernetes gives it, which is not the user of the pod, and the group fsGroup.
func (n *node) own(path string, mode os.FileMode) {
	n.t.Helper()
	if asRoot {
		if err := os.Chown(path, 0, int(*n.pod.SecurityContext.FSGroup)); err != nil {
			n.t.Fatal(err)
		}
	}
	if err := os.Chmod(path, mode); err != nil {
		n.t.Fatal(err)
	}
}

// command returns the program with more arguments, as the user of the pod.
func (n *node) command(ctx context.Context, more ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, n.program, append(n.args, more...)...)
	cmd.Env, cmd.Dir = n.environ, filepath.Join(n.root, "var/lib/transponder")
	if s := n.pod.SecurityContext; asRoot {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(*s.RunAsUser), Gid: uint32(*s.RunAsGroup)}}
	}
	return cmd
}

// log is what a program prints.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serve starts the program and waits until a probe says yes. stop ends it with SIGTERM and returns what it has printed.
func (n *node) serve() (stop func() string) {
	n.t.Helper()
	var out log
	cmd := n.command(context.Background())
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	n.t.Cleanup(func() { _ = cmd.Process.Kill() }) // if the test fails
	deadline := time.Now().Add(30 * time.Second)
	for {
		status, text := n.ask(n.pod.Containers[0].StartupProbe)
		if status == http.StatusOK {
			break
		}
		select {
		case err := <-ended:
			n.t.Fatalf("the server ends: %v\n%s", err, &out)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("the startup probe gets %d %s\n%s", status, text, &out)
		}
	}
	return func() string {
		n.t.Helper()
		began := time.Now()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			n.t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				n.t.Errorf("the server ends: %v\n%s", err, &out)
			}
		case <-time.After(time.Duration(*n.pod.TerminationGracePeriodSeconds) * time.Second):
			n.t.Fatalf("the server does not end within the grace period\n%s", &out)
		}
		n.t.Logf("it ended after %v", time.Since(began).Round(time.Millisecond))
		return out.String()
	}
}

// ask does what a kubelet does for a probe.
func (n *node) ask(p *corev1.Probe) (status int, text string) {
	n.t.Helper()
	var port int32
	for _, c := range n.pod.Containers[0].Ports {
		if c.Name == p.HTTPGet.Port.StrVal {
			port = c.ContainerPort
		}
	}
	return get(n.t, fmt.Sprintf("http://127.0.0.1:%d%s", port, p.HTTPGet.Path))
}

func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// freePorts are values with ports that nobody has.
func freePorts(t *testing.T) (values string, http int) {
	t.Helper()
	var ports [5]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return fmt.Sprintf("ports: {http: %d, ws: %d, rtmp: %d, media: %d, mediaTCP: %d}\n", ports[0], ports[1], ports[2], ports[3], ports[4]), ports[0]
}

// TestServer: the real server takes the settings of the chart, all of which it knows. It keeps its state in the volume, although Kubernetes owns the folder; it
// reads the files of the Secret; the probes and the pod of helm test ask for something that it answers; and it ends within the grace period. This happens twice,
// because a volume is used by one pod after the other.
func TestServer(t *testing.T) {
	ports, port := freePorts(t)
	n := newNode(t, ports+`
drainSeconds: 3
existingSecret: s
secretFiles: {secrets_key_file: cluster.key, admin_password_file: admin}
secretSettings: {token_secret: token}
metrics: {allow: [127.0.0.0/8, 10.0.0.0/8]}
ingress: {enabled: true, hosts: [live.example.com]}
settings: {log_json: true, rtp_receive_buffer_size: 4194304, sip_denied_callees: '^(00|\+)', push_allow: [a.example.com, "*.b.example.com:1935"], access: closed}
`, map[string]string{
		"cluster.key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n",
		"admin":       "a long password\n",
		"token":       strings.Repeat("secret", 8),
	})
	for range 2 {
		stop := n.serve()
		c := n.pod.Containers[0]
		for name, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
			if status, text := n.ask(p); status != http.StatusOK {
				t.Errorf("the %s probe gets %d %s", name, status, text)
			}
		}
		if status, text := get(t, fmt.Sprintf("http://127.0.0.1:%d/metrics", port)); status != http.StatusOK || !strings.Contains(text, "transponder_streams") {
			t.Errorf("Prometheus gets %d %.100s", status, text)
		}
		if status, _ := get(t, fmt.Sprintf("http://127.0.0.1:%d/rest-api/push/find_all", port)); status != http.StatusUnauthorized {
			t.Errorf("a stranger gets %d, want 401", status)
		}
		out := stop()
		for _, bad := range []string{"unknown setting", `"level":"ERROR"`, "chmod", "secretsecret", "a long password"} {
			if strings.Contains(out, bad) {
				t.Errorf("the log has %q:\n%s", bad, out)
			}
		}
	}
	for _, name := range []string{"state/state.db", "state/node"} {
		if _, err := os.Stat(filepath.Join(n.root, "var/lib/transponder", name)); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"drain_ms=3000", "rtp_receive_buffer_size=4194304", `sip_denied_callees=^(00|\\+)`, "push_allow=a.example.com,*.b.example.com:1935",
		"http_allowed_hosts=live.example.com", "metrics_allow=127.0.0.0/8,10.0.0.0/8", "ice_tcp_transport=true", "http.port=" + strconv.Itoa(port), "https.port=-1",
	}
	n.settings(want)
}

// settings fails the test if the server does not have these settings.
func (n *node) settings(want []string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 30*time.Second)
	defer cancel()
	cmd := n.command(ctx, "--settings")
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("%v: %s", err, &errors)
	}
	for _, line := range want {
		if !strings.Contains("\n"+string(out), "\n"+line+"\n") {
			key, _, _ := strings.Cut(line, "=")
			var got string
			for l := range strings.Lines(string(out)) {
				if strings.HasPrefix(l, key+"=") {
					got = l
				}
			}
			n.t.Errorf("the server has %q, want %q", got, line)
		}
	}
}

// TestServerAmongOthers: a server of a cluster behind load balancers has the name and the addresses of the pod that it is.
func TestServerAmongOthers(t *testing.T) {
	n := newNode(t, "replicas: 2\n"+cluster+`
media: {hostNetwork: false, hostPort: false, addresses: [192.0.2.1, 192.0.2.2]}
perPodService: {enabled: true}
`, map[string]string{"key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n", "users": "{}", "token": strings.Repeat("secret", 8)})
	for i, name := range []string{"show-transponder-0", "show-transponder-1"} {
		text, err := os.ReadFile(filepath.Join(n.root, "etc/transponder", name+".properties"))
		if err != nil {
			t.Fatal(err)
		}
		n.file("etc/transponder/flashphoner.properties", string(text), 0o644) // as subPathExpr does
		for j, e := range n.environ {
			if strings.HasPrefix(e, "TRANSPONDER_CLUSTER_NODE_ID=") {
				n.environ[j] = "TRANSPONDER_CLUSTER_NODE_ID=" + name
			}
		}
		n.settings([]string{
			"cluster_node_id=" + name, "cluster_rtmp_address=127.0.0.1:1935", "cluster_nats_url=nats://nats.example.com:4222", "cluster_name=live",
			"ip=192.0.2." + strconv.Itoa(i+1), "secrets_key_file=" + n.root + "/run/transponder/secrets/key",
		})
	}
}

// TestPortOfNode: without the network of the node, browsers are told the address of the node.
func TestPortOfNode(t *testing.T) {
	newNode(t, "media: {hostNetwork: false}", nil).settings([]string{"ip=127.0.0.1"})
}
