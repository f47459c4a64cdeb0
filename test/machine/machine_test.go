//go:build e2e

package machine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"transponder/internal/testkit"
)

// machine is a Debian 12 in namespaces of its own: processes, files and network, with nothing but a loopback device. systemd is its process 1.
type machine struct {
	t      *testing.T
	root   string
	leader int // process 1, as this machine numbers it
	client *http.Client
}

// cacheFolder is where a base system and Debian's packages are kept from one run to the next. It belongs to this test until the test ends: apt of two
// machines would fight for it.
func cacheFolder(t *testing.T) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "transponder", "bookworm")
	if err := os.MkdirAll(filepath.Join(dir, "archives", "partial"), 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	testkit.Eventually(t, 10*time.Minute, func() string {
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return "another test uses " + dir + ": " + err.Error()
		}
		return ""
	})
	return dir
}

// host runs a program of this machine.
func host(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// newMachine unpacks a base system with the libraries that the package needs fetched but not installed, and boots it. files are laid into its
// top folder.
func newMachine(t *testing.T, files ...string) *machine {
	t.Helper()
	cache := cacheFolder(t)
	base := filepath.Join(cache, "base.tar")
	root := filepath.Join(t.TempDir(), "root")
	if _, err := os.Stat(base); err != nil {
		work := filepath.Join(t.TempDir(), "base")
		host(t, "debootstrap", "--variant=minbase", "--include=systemd-sysv,ca-certificates", "bookworm", work)
		host(t, "tar", "--numeric-owner", "-C", work, "-cf", base+".new", ".")
		if err := os.Rename(base+".new", base); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	host(t, "tar", "--numeric-owner", "-C", root, "-xpf", base)
	if err := os.WriteFile(filepath.Join(root, "etc/dpkg/dpkg.cfg.d/fast"), []byte("force-unsafe-io\n"), 0o644); err != nil { // nobody needs this disk later
		t.Fatal(err)
	}
	for _, f := range files {
		host(t, "cp", f, filepath.Join(root, filepath.Base(f)))
	}
	bind := "--bind=" + filepath.Join(cache, "archives") + ":/var/cache/apt/archives"
	// With the network of this machine: only the packages are fetched.
	host(t, "systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", root, bind, "sh", "-c",
		"apt-get -q update && apt-get -q -y --no-install-recommends --download-only install /"+filepath.Base(files[0]))

	m := &machine{t: t, root: root}
	boot := exec.Command("systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", root, bind, "--private-network", "--boot", "--console=pipe")
	var said bytes.Buffer
	boot.Stdout, boot.Stderr = &said, &said
	if err := boot.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- boot.Wait() }()
	t.Cleanup(func() {
		_ = boot.Process.Signal(syscall.SIGTERM) // the container shuts down
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = boot.Process.Kill()
			<-ended
		}
	})
	testkit.Eventually(t, 60*time.Second, func() string {
		out, err := exec.Command("pgrep", "-P", fmt.Sprint(boot.Process.Pid)).Output()
		if _, scanErr := fmt.Sscan(string(out), &m.leader); err != nil || scanErr != nil {
			return "systemd has not started: " + said.String()
		}
		if state, _ := m.try("systemctl is-system-running"); state != "running" && state != "degraded" {
			return "systemd says " + state
		}
		return ""
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the journal of the service:\n%s", m.sh("journalctl --no-pager -o cat -u transponder -n 60"))
		}
	})
	m.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: m.dial}}
	return m
}

// try runs a script on the machine.
func (m *machine) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.t.Context()), 3*time.Minute) // also in a cleanup
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "-t", fmt.Sprint(m.leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "env", "-i",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", script)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// sh runs a script on the machine and returns what it prints.
func (m *machine) sh(script string) string {
	m.t.Helper()
	out, err := m.try(script)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// beside starts a program of this machine in the network of the machine. It ends with the test.
func (m *machine) beside(name string, args ...string) {
	cmd := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(m.leader), "-n", name}, args...)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if m.t.Failed() {
			m.t.Logf("%s: %s", name, said.Bytes()[max(0, said.Len()-2000):])
		}
	})
}

// dial connects within the network of the machine.
func (m *machine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	type dialled struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialled, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and with it the network it is in
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.leader))
		if err != nil {
			done <- dialled{nil, err}
			return
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- dialled{nil, err}
			return
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		done <- dialled{conn, err}
	}()
	got := <-done
	return got.conn, got.err
}

// post asks the server by REST. answer may be nil.
func (m *machine) post(path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := m.client.Post("http://127.0.0.1:8081/rest-api"+path, "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, got)
	}
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(got, answer)
}

// ready waits until the server takes work.
func (m *machine) ready() {
	m.t.Helper()
	testkit.Eventually(m.t, 60*time.Second, func() string {
		resp, err := m.client.Get("http://127.0.0.1:8081/health/ready")
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	})
}

// show returns a property of the service.
func (m *machine) show(property string) string {
	m.t.Helper()
	return m.sh("systemctl show --value -p " + property + " transponder")
}

// journal returns what the service has said.
func (m *machine) journal() string {
	m.t.Helper()
	return m.sh("journalctl --no-pager -o cat -u transponder")
}
