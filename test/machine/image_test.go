//go:build e2e

package machine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// TestImage: the image is whole by its own sums, and a server from it serves as a user without rights, with its settings from the environment. An OCI
// runtime, crun, runs it without control groups, which not every kernel has. Where the kernel does not let crun either, the test says what crun says,
// and runs the server in namespaces and by chroot.
func TestImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root, for namespaces")
	}
	t.Chdir(filepath.Join("..", ".."))
	out, layout, root := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "root")
	args := []string{"run", "./deploy/build", "-out", out, "-version", "0.0.2"}
	if *program != "" {
		args = append(args, "-fast", "-binary", *program)
	}
	host(t, "scripts/go", append(args, "image")...)
	host(t, "tar", "-C", layout, "-xf", filepath.Join(out, "transponder-0.0.2-amd64.oci.tar"))
	type blob struct{ Digest string }
	read := func(b blob, into any) string {
		path := filepath.Join(layout, "blobs", strings.Replace(b.Digest, ":", "/", 1))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(text)); sum != b.Digest {
			t.Errorf("%s has the sum %s", b.Digest, sum)
		}
		if into != nil {
			if err := json.Unmarshal(text, into); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	text, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct{ Manifests []blob }
	if err := json.Unmarshal(text, &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%s: %v, want one image", text, err)
	}
	var manifest struct {
		Config blob
		Layers []blob
	}
	read(index.Manifests[0], &manifest)
	var config struct {
		Config struct {
			User, WorkingDir string
			Entrypoint, Env  []string
		}
	}
	read(manifest.Config, &config)
	if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	host(t, "tar", "-C", root, "-xpzf", read(manifest.Layers[0], nil))
	c := config.Config
	if c.User != "65532:65532" || len(c.Entrypoint) != 1 {
		t.Fatalf("the image runs %q as %s", c.Entrypoint, c.User)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	environ := append(c.Env, "TRANSPONDER_HTTP_PORT=9081", "TRANSPONDER_LOG_JSON=true")
	state := t.TempDir() // of the runtime
	box := bundle{root, c.User, c.WorkingDir, environ, append(c.Entrypoint, "--version")}
	how, cmd, find := "run by "+firstLine(host(t, "crun", "--version")), crun(ctx, t, state, box), func(*exec.Cmd) (string, error) { return crunPID(state) }
	if said, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(said), "transponder ") {
		how = "run in namespaces, by chroot: crun cannot, and says " + strings.TrimSpace(string(said))
		cmd, find = chroot(ctx, box, c.Entrypoint[0]), childPID
	} else {
		box.args = c.Entrypoint
		cmd = crun(ctx, t, state, box)
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		_ = exec.Command("crun", "--root", state, "delete", "--force", "server").Run()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}()
	var server string
	testkit.Eventually(t, time.Minute, func() string {
		var err error
		if server, err = find(cmd); err != nil {
			return fmt.Sprintf("the server has not started: %v", err)
		}
		answer, err := exec.Command("nsenter", "-t", server, "-n", "curl", "-sS", "http://127.0.0.1:9081/health/ready").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(answer), "ready") {
			return string(answer)
		}
		return ""
	})
	if owner := host(t, "stat", "-c", "%u", "/proc/"+server); owner != "65532" {
		t.Errorf("the server runs as user %s", owner)
	}
	if owner := host(t, "stat", "-c", "%u", filepath.Join(root, "var/lib/transponder/state.db")); owner != "65532" {
		t.Errorf("the state belongs to %s", owner)
	}
	host(t, "kill", "-TERM", server)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("on SIGTERM it ends with %v\n%s", err, &said)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not stop")
	}
	t.Logf("%s; the image has %s", how, host(t, "du", "-h", "--apparent-size", filepath.Join(out, "transponder-0.0.2-amd64.oci.tar")))
}

// bundle is a container that is to be run.
type bundle struct {
	root, user, folder string // user is UID:GID
	environ, args      []string
}

// crun returns the command that runs a bundle. Version 1.8 refuses a machine with both generations of control groups, even if it is told to use none,
// so it is not shown the second one.
func crun(ctx context.Context, t *testing.T, state string, b bundle) *exec.Cmd {
	t.Helper()
	folder := t.TempDir()
	host(t, "crun", "spec", "--bundle", folder)
	file := filepath.Join(folder, "config.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	var uid, gid int
	if _, err := fmt.Sscanf(b.user, "%d:%d", &uid, &gid); err != nil {
		t.Fatal(err)
	}
	process, _ := spec["process"].(map[string]any)
	process["terminal"], process["args"], process["env"], process["cwd"] = false, b.args, b.environ, b.folder
	process["user"] = map[string]int{"uid": uid, "gid": gid}
	process["capabilities"] = map[string]any{}
	spec["root"] = map[string]any{"path": b.root}
	mounts, _ := spec["mounts"].([]any)
	spec["mounts"] = slices.DeleteFunc(mounts, func(m any) bool { return m.(map[string]any)["type"] == "cgroup" })
	if text, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(ctx, "unshare", "--mount", "--propagation", "private", "sh", "-c",
		`umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --root "$0" --cgroup-manager=disabled run --bundle "$1" server`, state, folder)
}

// crunPID returns the process of the server.
func crunPID(state string) (string, error) {
	text, err := exec.Command("crun", "--root", state, "state", "server").Output()
	if err != nil {
		return "", err
	}
	var is struct {
		PID    int
		Status string
	}
	if err := json.Unmarshal(text, &is); err != nil {
		return "", err
	}
	if is.Status != "running" {
		return "", fmt.Errorf("the container is %s", is.Status)
	}
	return fmt.Sprint(is.PID), nil
}

// chroot returns the command that runs a program in namespaces of its own. The loopback device of a new network is down: ip brings it up.
func chroot(ctx context.Context, b bundle, program string) *exec.Cmd {
	return exec.CommandContext(ctx, "unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc="+filepath.Join(b.root, "proc"), "sh", "-c",
		`ip link set lo up && cd / && exec env -i `+strings.Join(b.environ, " ")+` /usr/sbin/chroot --userspec=`+b.user+` "$0" "$@"`, b.root, program)
}

// childPID returns the process that a command has started.
func childPID(cmd *exec.Cmd) (string, error) {
	found, err := exec.Command("pgrep", "-P", fmt.Sprint(cmd.Process.Pid)).Output()
	return strings.TrimSpace(string(found)), err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
