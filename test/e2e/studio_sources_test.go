//go:build e2e

package e2e

import (
	"os/exec"
	"testing"
)

// Files as sources of the studio, with every control of them, as viewers see them.
func TestLongStudioFilePage(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", "studio-file.long.mjs")
	cmd.Dir = "browser"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
