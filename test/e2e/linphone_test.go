//go:build e2e

package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// startLinphone runs a real phone that answers each call with VP8 pictures until the test ends, and returns its address. It sends STUN to
// the ports of RTP, and may write an address into its SDP that its packets do not come from.
func startLinphone(t *testing.T) (uri string) {
	t.Helper()
	port, home := testkit.FreePort(t), t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".local/share/linphone"), 0o755); err != nil {
		t.Fatal(err)
	}
	rc := "[sip]\nsip_port=" + port + "\nsip_tcp_port=0\nsip_tls_port=0\n[video]\ncapture=1\nautomatically_accept=1\nautomatically_initiate=0\n" +
		"[net]\nmtu=1300\n"
	if err := os.WriteFile(filepath.Join(home, "rc"), []byte(rc), 0o644); err != nil {
		t.Fatal(err)
	}
	var log safeBuffer
	cmd := exec.Command("linphonec", "-c", filepath.Join(home, "rc"), "-a", "-C")
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.Stdout, cmd.Stderr = &log, &log
	stdin, err := cmd.StdinPipe() // it ends with its input
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		io.WriteString(stdin, "quit\n")
		stdin.Close()
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
			<-exited
		}
		if t.Failed() {
			t.Logf("linphonec log:\n%s", log.String())
		}
	})
	awaitUDP(t, port, &log)
	return "sip:linphone@127.0.0.1:" + port
}
