//go:build e2e

// Package e2e tests the server as a black box: real browsers in, real RTMP servers out, ffmpeg as the judge of what arrived.
//
// Needs what scripts/install installs for tests: ffmpeg, nginx with its RTMP module, stunnel, Chromium, Firefox, GStreamer, Node; and for
// SIP baresip, linphonec, SIPp, kamailio.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// serverBinary is the server under test, built by TestMain.
var serverBinary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(roamingEncoder) != "" {
		return m.Run() // in a namespace, for another test
	}
	dir, err := os.MkdirTemp("", "transponder-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	serverBinary = filepath.Join(dir, "transponder")
	for _, args := range [][]string{{"run", "./web/build"}, {"build", "-o", serverBinary, "./cmd/transponder"}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "go", args, err)
			return 1
		}
	}
	return m.Run()
}
