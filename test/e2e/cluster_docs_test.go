//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit/natskit"
)

// The commands of docs/cluster.md work as they stand, one after another. They use fixed ports, so they run in a network of their own.
func TestClusterInTenMinutes(t *testing.T) {
	text, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -e\nip link set lo up\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 7 {
		t.Fatalf("only %d blocks of commands found in the document", len(blocks))
	}
	for _, b := range blocks {
		script.WriteString(b[1] + "\necho\necho ==\n")
	}
	bin, dir := t.TempDir(), t.TempDir()
	for name, path := range map[string]string{"transponder": serverBinary, "nats-server": natskit.Program(t)} {
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", script.String())
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	limit := time.AfterFunc(4*time.Minute, func() { cmd.Process.Kill() })
	defer limit.Stop()
	out, err := cmd.CombinedOutput()
	if err != nil {
		logs, _ := exec.Command("sh", "-c", "tail -n 20 "+dir+"/*.log").CombinedOutput()
		t.Fatalf("the commands fail: %v\n%s\n%s", err, out, logs)
	}
	parts := strings.Split(string(out), "\n==\n")
	for i, want := range map[int][]string{
		1: {`"nodeId":"node-1"`, `"nodeId":"node-2"`, `"nodeId":"node-3","self":true`},
		2: {`"nodeId":"node-1"`, `"sourceStreamName":"show"`},
		3: {`"status":"PUBLISHING"`},
		4: {"h264", "aac"},
	} {
		for _, w := range want {
			if !strings.Contains(parts[i], w) {
				t.Errorf("the commands of block %d print %q, want %s in it", i+1, parts[i], w)
			}
		}
	}
}
