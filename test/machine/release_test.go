//go:build e2e

package machine_test

import (
	"os"
	"path/filepath"
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
	if err != nil || len(files) != 4 {
		t.Errorf("a release has %v, %v; want a package, sources, a list of parts and sums", files, err)
	}
	host(t, "sh", "-c", `cd "$0" && sha256sum -c SHA256SUMS`, outs[1])
}
