//go:build e2e

package machine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRelease: two clones in different folders, with different rights for new files and in different time zones, give the same bytes.
func TestRelease(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	dir := t.TempDir()
	var outs []string
	for name, how := range map[string]string{"one": "umask 077; TZ=Asia/Tokyo", "another place": "umask 002; TZ=UTC"} {
		clone, out := filepath.Join(dir, name), filepath.Join(dir, "out of "+name)
		host(t, "git", "clone", "-q", ".", clone)
		host(t, "sh", "-c", how+`; export TZ; cd "$0" && scripts/go run ./deploy/build -out "$1" release`, clone, out)
		outs = append(outs, out)
	}
	host(t, "diff", "-r", outs[0], outs[1])
	files, err := os.ReadDir(outs[0])
	if err != nil || len(files) != 5 {
		t.Errorf("a release has %v, %v; want a package, sources, a list of parts for each of two architectures, and sums", files, err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		bills, err := filepath.Glob(filepath.Join(outs[0], "transponder_*_"+arch+".cdx.json"))
		if err != nil || len(bills) != 1 {
			t.Fatalf("the lists of parts for %s are %q, %v", arch, bills, err)
		}
		text, err := os.ReadFile(bills[0])
		if err != nil || !strings.Contains(string(text), "pkg:deb/debian/libavcodec59@") || strings.Count(string(text), "?arch="+arch+`\u0026`) != 2*strings.Count(string(text), `"purl": "pkg:deb/`) {
			t.Errorf("%s: %v; want Debian's libraries of %s in\n%s", bills[0], err, arch, text)
		}
	}
	if sums, err := os.ReadFile(filepath.Join(outs[0], "SHA256SUMS")); err != nil || strings.Count(string(sums), "\n") != 4 {
		t.Errorf("the sums, %v, are\n%s", err, sums)
	}
	host(t, "sh", "-c", `cd "$0" && sha256sum -c SHA256SUMS`, outs[1])
}
