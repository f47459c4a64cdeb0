//go:build e2e

package machine_test

import (
	"bytes"
	"debug/elf"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// TestPackageARM64: the package that make package builds for arm64 on a machine with amd64 is as Debian wants it. The program in it is one for arm64, and
// serves when QEMU runs it with Debian's libraries of arm64. The list of parts that make release writes without compiling names what is in that program.
func TestPackageARM64(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("is for machines with amd64: elsewhere TestPackage installs the package of this machine's architecture")
	}
	t.Chdir(filepath.Join("..", ".."))
	out, unpacked := t.TempDir(), t.TempDir()
	host(t, "make", "-s", "package", "ARCH=arm64", "RELEASE=-version 0.0.2 -out "+out)
	file := filepath.Join(out, "transponder_0.0.2-1_arm64.deb")
	host(t, "lintian", "--allow-root", "--fail-on", "error,warning", file)
	if arch := host(t, "dpkg-deb", "-f", file, "Architecture"); arch != "arm64" {
		t.Errorf("the package is for %s", arch)
	}
	host(t, "dpkg-deb", "-x", file, unpacked)
	program := filepath.Join(unpacked, "usr", "bin", "transponder")
	forARM64(t, program)
	sameParts(t, program, host(t, "dpkg-deb", "-f", file, "Depends"))
	runsInQEMU(t, program)
}

// forARM64 checks that a program is one for arm64, position-independent, and started by Debian's loader.
func forARM64(t *testing.T, program string) {
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != elf.EM_AARCH64 || f.Class != elf.ELFCLASS64 || f.Type != elf.ET_DYN {
		t.Errorf("the program is %v, %v, %v", f.Machine, f.Class, f.Type)
	}
	interp := f.Section(".interp")
	if interp == nil {
		t.Fatal("the program names no loader")
	}
	if loader, err := interp.Data(); err != nil || string(loader) != "/lib/ld-linux-aarch64.so.1\x00" {
		t.Errorf("the loader is %q, %v", loader, err)
	}
	if names, err := f.ImportedLibraries(); err != nil || !slices.Contains(names, "libavcodec.so.59") || !slices.Contains(names, "libopus.so.0") {
		t.Errorf("the program is linked with %q, %v", names, err)
	}
	imported, err := f.ImportedSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range imported {
		if s.Version == "GLIBC_PRIVATE" { // a part of libc was taken into the program, and wants exactly that version of the rest
			t.Errorf("the program needs %s of %s, which is private", s.Name, s.Library)
		}
	}
}

// sameParts checks that the list of parts for arm64 is the same whether this machine's program is read, and what differs is looked up, or the program for
// arm64 itself is read. depends are the libraries of that program's package.
func sameParts(t *testing.T, program, depends string) {
	own, other := t.TempDir(), t.TempDir()
	mine := filepath.Join(t.TempDir(), "transponder")
	host(t, "scripts/go", "build", "-o", mine, "./cmd/transponder")
	host(t, "scripts/go", "run", "./deploy/build", "-version", "0.0.2", "-out", own, "-binary", mine, "sbom")
	host(t, "scripts/go", "run", "./deploy/build", "-version", "0.0.2", "-out", other, "-binary", program, "-arch", "arm64", "sbom")
	host(t, "diff", "-r", own, other)
	text, err := os.ReadFile(filepath.Join(own, "transponder_0.0.2_arm64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile(`"purl": "pkg:deb/debian/([^@]+)@[^?]+\?arch=arm64&`).FindAllStringSubmatch(strings.ReplaceAll(string(text), `\u0026`, "&"), -1) {
		listed = append(listed, m[1])
	}
	var want []string
	for entry := range strings.SplitSeq(depends, ", ") {
		if name, _, _ := strings.Cut(entry, " "); name != "adduser" && name != "ca-certificates" { // no libraries
			want = append(want, name)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want) // two conditions on the version of one library
	if !slices.Equal(listed, want) {
		t.Errorf("the list of parts has the libraries %q, the package depends on %q", listed, want)
	}
}

// runsInQEMU starts the program with the libraries that make package has fetched, asks it whether it is ready, and ends it.
func runsInQEMU(t *testing.T, program string) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sysroot := filepath.Join(cache, "transponder", "sysroot-arm64")
	const lib = "/usr/lib/aarch64-linux-gnu/" // Debian's programs find the folders in it by their alternatives
	qemu := []string{"-L", sysroot, "-E", "LD_LIBRARY_PATH=" + lib + "blas:" + lib + "lapack", program}
	if said := host(t, "qemu-aarch64-static", append(slices.Clone(qemu), "--version")...); said != "transponder 0.0.2" {
		t.Errorf("it says %q", said)
	}
	dir := t.TempDir()
	args := slices.Clone(qemu)
	for _, port := range []string{"http.port", "https.port", "ws.port", "wss.port", "rtmp.port", "media_port_from"} {
		args = append(args, "--set", port+"=0")
	}
	args = append(args, "--config", os.DevNull) // the package's settings are for a server in /var/lib
	cmd := exec.Command("qemu-aarch64-static", args...)
	cmd.Dir = dir
	stdout, err := os.Create(filepath.Join(dir, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, unless the test has failed
		if t.Failed() {
			<-ended
			t.Logf("the server in QEMU says\n%s", said.String())
		}
	})
	page := regexp.MustCompile(`(?m)^ +page +(http://\S+)/$`)
	testkit.Eventually(t, 2*time.Minute, func() string {
		banner, err := os.ReadFile(stdout.Name())
		if err != nil {
			return err.Error()
		}
		m := page.FindSubmatch(banner)
		if m == nil {
			return "the server has not printed its page"
		}
		resp, err := http.Get(string(m[1]) + "/health/ready")
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("asked to end, it exited with %v", err)
		}
		ended <- nil // for the cleanup
	case <-time.After(time.Minute):
		t.Error("the server did not end within a minute of SIGTERM")
	}
}
