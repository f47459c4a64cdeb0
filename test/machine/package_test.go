//go:build e2e

package machine_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// built saves the time to build.
var built = flag.String("packages", "", "`FOLDER` with the packages of the versions 0.0.1 and 0.0.2, built before")

// program saves the time to build, too.
var program = flag.String("program", "", "`FILE` of a server from a package, for the image")

// packages returns two packages, the later one as it is handed out, and the earlier one with the same program.
func packages(t *testing.T) (older, newer string) {
	t.Helper()
	dir := *built
	if dir == "" {
		dir = t.TempDir()
		host(t, "scripts/go", "run", "./deploy/build", "-out", dir, "-version", "0.0.2", "package")
		unpacked := filepath.Join(t.TempDir(), "unpacked")
		host(t, "dpkg-deb", "-x", filepath.Join(dir, "transponder_0.0.2-1_amd64.deb"), unpacked)
		host(t, "scripts/go", "run", "./deploy/build", "-out", dir, "-version", "0.0.1", "-fast", "-binary", filepath.Join(unpacked, "usr/bin/transponder"), "package")
	}
	return filepath.Join(dir, "transponder_0.0.1-1_amd64.deb"), filepath.Join(dir, "transponder_0.0.2-1_amd64.deb")
}

// push is what REST tells of a push.
type push struct {
	MediaSessionID string `json:"mediaSessionId"`
	Status, Reason string
	BytesSent      int64
}

// TestPackage: install, look, push, upgrade with a push on air, break, remove, purge.
func TestPackage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root, for a machine in namespaces")
	}
	t.Chdir(filepath.Join("..", ".."))
	older, newer := packages(t)
	host(t, "lintian", "--allow-root", "--fail-on", "error,warning", newer)

	m := newMachine(t, older, newer)
	before := m.sh("find / -xdev -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/tmp/*' -not -path '/var/log/*' | sort")
	began := time.Now()
	m.sh("apt-get -q -y --no-install-recommends install /" + filepath.Base(older))
	m.ready()
	t.Logf("from apt to a server that takes work: %v", time.Since(began).Round(100*time.Millisecond))
	m.installed()
	m.onAir(filepath.Base(newer))
	m.confined()
	m.hangs()
	m.mistakes()

	m.sh("apt-get -q -y remove transponder")
	if out, err := m.try("systemctl is-active transponder; test -e /usr/bin/transponder"); err == nil {
		t.Errorf("removed, the program is still there; the service is %s", out)
	}
	m.sh("test -s /etc/transponder/flashphoner.properties && test -s /var/lib/transponder/state.db")
	m.sh("apt-get -q -y purge transponder && apt-get -q -y autoremove --purge")
	if left, err := m.try("getent passwd transponder || getent group transponder"); err == nil {
		t.Errorf("purged, the user is still there: %s", left)
	}
	if left, _ := m.try("find / -xdev -not -path '/proc/*' -not -path '/run/*' -name '*transponder*' -not -name '*.deb' -not -path '/var/log/*' -not -path '/tmp/*'"); left != "" {
		t.Errorf("purged, this is left:\n%s", left)
	}
	if n := strings.Count(before, "transponder"); n != 2 { // the two packages
		t.Errorf("before the installation %d files had the name, want 2", n)
	}
}

// installed checks what an operator finds after the installation.
func (m *machine) installed() {
	t := m.t
	for script, want := range map[string]string{
		"stat -c %U:%G:%a /etc/transponder/flashphoner.properties":                          "root:transponder:640",
		"stat -c %U:%G:%a /var/lib/transponder":                                             "transponder:transponder:750",
		"stat -c %U:%G:%a /var/lib/transponder/media":                                       "transponder:transponder:750",
		"stat -c %U:%a /var/lib/transponder/state.db":                                       "transponder:600",
		"systemctl is-enabled transponder":                                                  "enabled",
		"stat -c %U /proc/$(systemctl show --value -p MainPID transponder)":                 "transponder",
		"transponder --settings | grep ^state_dir":                                          "state_dir=/var/lib/transponder",
		"transponder --version | cut -d. -f1,2":                                             "transponder 0.0",
		"systemd-analyze verify --man=no transponder.service 2>&1 | grep -c transponder; :": "0",
	} {
		if got, err := m.try(script); got != want {
			t.Errorf("%s: %q, %v; want %q", script, got, err, want)
		}
	}
	out := m.sh("systemd-analyze security --no-pager transponder.service")
	level := regexp.MustCompile(`exposure level for transponder.service: ([0-9.]+)`).FindStringSubmatch(out)
	if level == nil {
		t.Fatalf("systemd-analyze says no level:\n%s", out)
	}
	if n, err := strconv.ParseFloat(level[1], 64); err != nil || n > 2.0 {
		t.Errorf("the exposure is %s, want at most 2.0", level[1])
	}
	if out, err := m.try("transponder doctor access"); err != nil {
		t.Errorf("a command of the operator: %v\n%s", err, out)
	}
}

// onAir pushes a stream to nginx, and upgrades meanwhile.
func (m *machine) onAir(newer string) {
	t := m.t
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `user root;
daemon off;
pid %[1]s/pid;
error_log %[1]s/error.log;
include /etc/nginx/modules-enabled/*.conf;
events {}
rtmp { server { listen 127.0.0.1:19350; application live { live on; record all; record_path %[1]s; record_unique on; } application small { live on; } } }
`, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	m.beside("nginx", "-c", conf)
	media := filepath.Join(dir, "media.flv")
	host(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "60", "-c:v", "libx264",
		"-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", media)
	// An encoder that connects again when the server is gone.
	m.beside("sh", "-c", `while :; do ffmpeg -nostdin -v error -re -stream_loop -1 -i "$0" -c copy -f flv rtmp://127.0.0.1:1935/live/cam; sleep 0.2; done`, media)
	var p push
	testkit.Eventually(t, 60*time.Second, func() string {
		err := m.post("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": "rtmp://127.0.0.1:19350/live"}, &p)
		if err != nil {
			return err.Error()
		}
		return ""
	})
	m.publishing(p.MediaSessionID)
	pid := m.show("MainPID")
	began := time.Now()
	out := m.sh("apt-get -q -y --no-install-recommends install /" + newer)
	if !strings.Contains(out, "Setting up transponder (0.0.2-1)") {
		t.Errorf("apt says\n%s", out)
	}
	if now := m.show("MainPID"); now == pid || now == "0" {
		t.Errorf("after the upgrade the process is %s, as before", now)
	}
	m.publishing(p.MediaSessionID)
	t.Logf("from the upgrade's start to the push on air again: %v", time.Since(began).Round(100*time.Millisecond))
	recordings, err := filepath.Glob(filepath.Join(dir, "rtmp_cam-*.flv"))
	if err != nil || len(recordings) < 2 {
		t.Errorf("nginx has the recordings %q, want one before and one after the upgrade", recordings)
	}
	for _, r := range recordings {
		if info, err := os.Stat(r); err != nil || info.Size() < 10_000 {
			t.Errorf("%s: %v, %v; want media in it", r, info, err)
		}
	}
}

// publishing waits until a push sends.
func (m *machine) publishing(id string) {
	m.t.Helper()
	var first int64 = -1
	testkit.Eventually(m.t, 60*time.Second, func() string {
		var found []push
		if err := m.post("/push/find", map[string]any{"mediaSessionId": id}, &found); err != nil {
			return err.Error()
		}
		if len(found) != 1 || found[0].Status != "PUBLISHING" && found[0].Status != "LIVE" {
			return fmt.Sprintf("the pushes are %+v", found)
		}
		if first < 0 {
			first = found[0].BytesSent
		}
		if found[0].BytesSent < first+20_000 {
			return fmt.Sprintf("the push has sent %d bytes since it was seen first", found[0].BytesSent-first)
		}
		return ""
	})
}

// confined has the service transcode: the processes that do this get along with what the unit forbids.
func (m *machine) confined() {
	var p push
	if err := m.post("/push/startup", map[string]any{"streamName": "cam", "rtmpUrl": "rtmp://127.0.0.1:19350/small",
		"width": 320, "height": 180}, &p); err != nil {
		m.t.Fatal(err)
	}
	m.publishing(p.MediaSessionID)
	if log := m.journal(); strings.Contains(log, "confine") || strings.Contains(log, "level=ERROR") {
		m.t.Errorf("the service has trouble:\n%s", log)
	}
}

// hangs stops the server for longer than the watchdog waits.
func (m *machine) hangs() {
	m.sh("mkdir -p /run/systemd/system/transponder.service.d && printf '[Service]\nWatchdogSec=3s\n' >/run/systemd/system/transponder.service.d/test.conf && systemctl daemon-reload && systemctl restart transponder")
	m.ready()
	pid, restarts := m.show("MainPID"), m.show("NRestarts")
	time.Sleep(5 * time.Second) // longer than the watchdog waits: a server that is well is left alone
	if now := m.show("MainPID"); now != pid {
		m.t.Fatalf("the watchdog has ended a server that was well:\n%s", m.journal())
	}
	m.sh("kill -STOP " + pid)
	testkit.Eventually(m.t, 60*time.Second, func() string {
		if n := m.show("NRestarts"); n == restarts {
			return "systemd has restarted it " + n + " times"
		}
		return ""
	})
	m.ready()
	if log := m.journal(); !strings.Contains(log, "atchdog timeout") || !strings.Contains(log, "SIGABRT: abort") || !strings.Contains(log, "internal/app.(*watchdog).run") {
		m.t.Errorf("the journal does not tell of the watchdog, with all goroutines:\n%s", log)
	}
	m.sh("rm -r /run/systemd/system/transponder.service.d && systemctl daemon-reload && systemctl restart transponder")
	m.ready()
}

// mistakes are those of an operator: the journal names them all, and what to do.
func (m *machine) mistakes() {
	const file = "/etc/transponder/flashphoner.properties"
	for _, tt := range []struct {
		name, lines string
		want        []string
	}{
		{"three mistakes", `http.port=eighty\naccess=opne\nmedai_dir=/x`, []string{"http.port must be a whole number", `"opne"`, "did you mean media_dir?"}},
		{"a folder that the unit does not let it use", `state_dir=/srv/transponder-state`, []string{"ReadWritePaths=/srv/transponder-state"}},
	} {
		m.sh("cp -a " + file + " /root/kept && printf '\n" + tt.lines + "\n' >>" + file)
		_, _ = m.try("systemctl restart transponder")
		testkit.Eventually(m.t, 30*time.Second, func() string {
			log := m.sh("journalctl --no-pager -o cat -u transponder -n 200")
			for _, want := range tt.want {
				if !strings.Contains(log, want) {
					return fmt.Sprintf("%s: the journal does not say %q:\n%s", tt.name, want, log)
				}
			}
			return ""
		})
		m.sh("mv /root/kept " + file + " && systemctl reset-failed transponder; systemctl restart transponder")
		m.ready()
	}
}
