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
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// TestImage: the image is whole by its own sums, and a server from it serves as a user without rights, with its settings from the environment. It
// runs in namespaces and by chroot, because the usual runtimes want control groups that not every kernel here has.
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
	// The loopback device of a new network is down: ip brings it up.
	cmd := exec.CommandContext(ctx, "unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc="+filepath.Join(root, "proc"), "sh", "-c",
		`ip link set lo up && cd / && exec env -i `+strings.Join(c.Env, " ")+
			` TRANSPONDER_HTTP_PORT=9081 TRANSPONDER_LOG_JSON=true /usr/sbin/chroot --userspec=`+c.User+` "$0" "$@"`, root, c.Entrypoint[0])
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }()
	var server string
	testkit.Eventually(t, time.Minute, func() string {
		found, err := exec.Command("pgrep", "-P", fmt.Sprint(cmd.Process.Pid)).Output()
		if err != nil {
			return "the server has not started"
		}
		server = strings.TrimSpace(string(found))
		answer, err := exec.Command("nsenter", "-t", server, "-n", "curl", "-sS", "http://127.0.0.1:9081/health/ready").CombinedOutput()
		if err != nil {
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
	t.Logf("run in namespaces, by chroot; the image has %s", host(t, "du", "-h", "--apparent-size", filepath.Join(out, "transponder-0.0.2-amd64.oci.tar")))
}
