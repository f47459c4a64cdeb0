package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transponder/internal/config"
)

// run runs a program at the top of the tree and returns what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// atTop makes the top of the tree the current folder.
func atTop(t *testing.T) { t.Chdir(filepath.Join("..", "..")) }

// TestPackage: the package of a program has what Debian's rules and an operator want in it, and is the same when it is built again. The program is
// a small one of the same modules; make e2e-package tests the real one.
func TestPackage(t *testing.T) {
	atTop(t)
	if _, err := exec.LookPath("dpkg-shlibdeps"); err != nil {
		t.Skip("needs dpkg-dev: make install-test")
	}
	program := filepath.Join(t.TempDir(), "transponder")
	run(t, "scripts/go", "build", "-trimpath", "-o", program, "./cmd/transponder")
	var content [2][]byte
	var file string
	for i := range content {
		j := job{out: t.TempDir(), arch: "amd64", binary: program, fast: true, when: time.Unix(1_700_000_000, 0).UTC(), version: version{"1.2.3", "1.2.3-1"}}
		var err error
		if file, err = j.debianPackage(t.Context(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
		if content[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(content[0], content[1]) {
		t.Error("two packages of the same program differ")
	}
	j := job{out: t.TempDir(), arch: "amd64", binary: program, fast: true, when: time.Unix(1_700_000_000, 0).UTC(), version: version{"1.2.3", "1.2.3-1"}}
	libraries, err := j.libraries(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := j.bill(t.Context(), "amd64", libraries)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"specVersion": "1.5"`, `"pkg:golang/github.com/pion/webrtc/v4@v`, `"pkg:golang/std@1.`, `"pkg:deb/debian/libavcodec59@`, `"2023-11-14T22:13:20Z"`} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the list of parts lacks %s", want)
		}
	}
	listed(t, program)
	list := run(t, "dpkg-deb", "-c", file)
	for _, want := range []string{
		`-rwxr-xr-x root/root .* \./usr/bin/transponder\n`,
		`-rw-r--r-- root/root .* \./etc/transponder/flashphoner\.properties\n`,
		`\./lib/systemd/system/transponder\.service\n`,
		`\./usr/lib/sysctl\.d/60-transponder\.conf\n`,
		`\./usr/share/man/man1/transponder\.1\.gz\n`,
		`\./usr/share/bash-completion/completions/transponder\n`,
		`\./usr/share/zsh/vendor-completions/_transponder\n`,
		`\./usr/share/doc/transponder/copyright\n`,
		`\./usr/share/doc/transponder/changelog\.Debian\.gz\n`,
	} {
		if !regexp.MustCompile(want).MatchString(list) {
			t.Errorf("the package has no %s:\n%s", want, list)
		}
	}
	ofCommit := regexp.MustCompile(`^\S+ root/root +\d+ 2023-11-14 22:13 \./`)
	for line := range strings.Lines(list) {
		if !ofCommit.MatchString(line) {
			t.Errorf("not of root, or without the time of the commit: %s", line)
		}
	}
	control := run(t, "dpkg-deb", "-I", file)
	for _, want := range []string{"libavcodec59 (>= ", "libopus0", "adduser", "ca-certificates", "Version: 1.2.3-1\n"} {
		if !strings.Contains(control, want) {
			t.Errorf("the package does not say %q:\n%s", want, control)
		}
	}
	unpacked := t.TempDir()
	run(t, "dpkg-deb", "-x", file, unpacked)
	copyright, err := os.ReadFile(filepath.Join(unpacked, "usr/share/doc/transponder/copyright"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MIT License", "github.com/pion/webrtc/v4 v", "modernc.org/sqlite v", "the Go programming language", "common-licenses/GPL-2"} {
		if !bytes.Contains(copyright, []byte(want)) {
			t.Errorf("the licences lack %q", want)
		}
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		run(t, "sh", "-n", filepath.Join("deploy/debian", script))
	}
}

// listed checks that what Go lists without compiling is what stands in a program of this architecture, with the hashes of its modules.
func listed(t *testing.T, program string) {
	t.Helper()
	want, err := modules(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	got, err := listModules(t.Context(), runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].dir = "" // listModules does not look for it
	}
	if len(want) < 50 || !slices.Equal(got, want) {
		t.Errorf("without compiling:\n%v\nin the program:\n%v", got, want)
	}
	if other, err := listModules(t.Context(), "arm64"); err != nil || len(other) < 50 {
		t.Errorf("arm64 has %d modules, %v", len(other), err)
	}
}

// TestUnit: the unit of the service is one that systemd reads without complaint, and it lets the server do little else than its work.
func TestUnit(t *testing.T) {
	atTop(t)
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd")
	}
	out := run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "deploy/debian/transponder.service")
	m := regexp.MustCompile(`exposure level for transponder.service: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("systemd-analyze says no level:\n%s", out)
	}
	if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 2.0 {
		t.Errorf("the exposure is %s, want at most 2.0:\n%s", m[1], out)
	}
}

// TestSettings: the settings of the package put the state where the unit lets the server write.
func TestSettings(t *testing.T) {
	atTop(t)
	text, err := packagedSettings()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nstate_dir=/var/lib/transponder\n", "\nmedia_dir=/var/lib/transponder/media\n", "\ntls_dir=/var/lib/transponder/tls\n", "systemctl restart"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the settings lack %q", want)
		}
	}
}

// TestManual: the man page and the completions have all commands and flags that the program lists.
func TestManual(t *testing.T) {
	atTop(t)
	help := run(t, "scripts/go", "run", "./cmd/transponder", "--help")
	for _, m := range regexp.MustCompile(`(?m)^  -([a-z]+)`).FindAllStringSubmatch(help, -1) {
		known := slices.ContainsFunc(serverFlags, func(f struct{ name, value, text string }) bool { return f.name == m[1] })
		if !known {
			t.Errorf("serverFlags lacks --%s", m[1])
		}
	}
	when := time.Unix(0, 0)
	page := string(manual("1.2.3", when))
	for _, want := range []string{".B transponder", `\fBkey create\fR`, `\fBdoctor access\fR`, `\-\-offline`, `\-\-token\-file`, "SIGUSR2", "January 1970"} {
		if !strings.Contains(page, want) {
			t.Errorf("the man page lacks %q", want)
		}
	}
	completion := filepath.Join(t.TempDir(), "completion")
	if err := os.WriteFile(completion, bashCompletion(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line, at string
		want     []string
	}{
		{"transponder ke", "1", []string{"key"}},
		{"transponder key cr", "2", []string{"create"}},
		{"transponder doctor access --off", "3", []string{"--offline"}},
		{"transponder --ver", "1", []string{"--version"}},
		{"transponder nonsense x", "2", nil},
	} {
		got := run(t, "bash", "-c", `. "$1"; COMP_WORDS=($2); COMP_CWORD=$3; _transponder; echo "${COMPREPLY[@]}"`, "bash", completion, tt.line, tt.at)
		if !slices.Equal(strings.Fields(got), tt.want) {
			t.Errorf("%q is completed with %q, want %q", tt.line, got, tt.want)
		}
	}
	r, err := gzip.NewReader(bytes.NewReader(packed([]byte("text"))))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "text" || !r.ModTime.IsZero() {
		t.Errorf("a packed text is %q, %v, of %v", text, err, r.ModTime)
	}
}

// TestCompose: every setting of the Compose file is a setting.
func TestCompose(t *testing.T) {
	atTop(t)
	text, err := os.ReadFile("deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^ +(TRANSPONDER_[A-Z_]+): "(.*)"$`).FindAllStringSubmatch(string(text), -1)
	if len(lines) == 0 {
		t.Fatal("it has no settings")
	}
	var environ []string
	for _, m := range lines {
		environ = append(environ, m[1]+"="+m[2])
	}
	if _, warnings, err := config.Load(config.Sources{Environ: environ}); err != nil || len(warnings) > 0 {
		t.Errorf("%q: %v, %q", environ, err, warnings)
	}
}

func TestParseVersion(t *testing.T) {
	for _, tt := range []struct{ name, upstream, debian string }{
		{"v1.2.3", "1.2.3", "1.2.3-1"},
		{"1.2.3", "1.2.3", "1.2.3-1"},
		{"v1.2.3-rc.1", "1.2.3-rc.1", "1.2.3~rc.1-1"},
		{"c0ffee", "", ""},
		{"1.2", "", ""},
		{"1.2.3-1 ", "", ""},
	} {
		got, err := parseVersion(tt.name)
		if (err != nil) != (tt.debian == "") || got != (version{tt.upstream, tt.debian}) {
			t.Errorf("%s: %+v, %v; want %s, %s", tt.name, got, err, tt.upstream, tt.debian)
		}
	}
}
