// Command build makes what is handed out of a version: a Debian package, a container image, and a release. Run it from the top of the
// tree, as make package, make image and make release do.
//
// All of it is reproducible: the same commit, compiler and libraries give the same bytes, in whatever folder and at whatever time. Times in
// archives are the time of the commit (SOURCE_DATE_EPOCH), and entries are sorted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// job is one call of this program.
type job struct {
	out     string // folder for what is made
	version version
	when    time.Time // of everything that is made
	arch    string    // as Debian calls it
	binary  string    // a server that is built already; "": it is built
	sysroot string    // folder with the libraries of another architecture than this machine's; "": it is built for this machine
	fast    bool      // compress little: for tests
}

func main() {
	var j job
	var name, epoch string
	flag.StringVar(&j.out, "out", "dist", "`FOLDER` for what is made")
	flag.StringVar(&name, "version", "", "`VERSION`, such as 1.2.3; without it, that of the commit")
	flag.StringVar(&epoch, "epoch", os.Getenv("SOURCE_DATE_EPOCH"), "`SECONDS` since 1970 that stand for the time; without it, the time of the commit")
	flag.StringVar(&j.arch, "arch", runtime.GOARCH, "`ARCHITECTURE`: amd64 or arm64")
	flag.StringVar(&j.binary, "binary", "", "`FILE` of a server that is built already")
	flag.BoolVar(&j.fast, "fast", false, "do not compress")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := j.run(ctx, name, epoch, flag.Args()); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "deploy/build:", err)
		os.Exit(1)
	}
}

func (j *job) run(ctx context.Context, name, epoch string, what []string) error {
	if len(what) != 1 {
		return errors.New("say what to build: package, image, sbom or release")
	}
	var err error
	if j.version, j.when, err = versionOf(ctx, name, epoch); err != nil {
		return err
	}
	if err := os.MkdirAll(j.out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "transponder-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if j.arch != runtime.GOARCH {
		if err := j.prepareCross(ctx, what[0]); err != nil {
			return err
		}
	}
	if j.binary == "" {
		j.binary = filepath.Join(work, "transponder")
		if err := j.compile(ctx, j.binary); err != nil {
			return err
		}
	}
	switch what[0] {
	case "package":
		_, err = j.debianPackage(ctx, work)
	case "image":
		err = j.image(ctx)
	case "release":
		err = j.release(ctx, work)
	case "sbom":
		_, err = j.writeBills(ctx, work)
	default:
		err = fmt.Errorf("cannot build %q", what[0])
	}
	return err
}

// settingsFile is where the package puts the settings, and where the program of the package looks for them.
const settingsFile = "/etc/transponder/flashphoner.properties"

// compile builds the server: position-independent, with its relocations read-only, and without anything that depends on this machine's folders.
func (j *job) compile(ctx context.Context, to string) error {
	if err := j.command(ctx, "scripts/go", "run", "./web/build"); err != nil {
		return err
	}
	link := "-s -w -X main.version=" + j.version.upstream + " -X transponder/internal/config.packaged=" + settingsFile + " -extldflags=-Wl,-z,relro,-z,now"
	return j.command(ctx, "scripts/go", "build", "-trimpath", "-buildvcs=false", "-buildmode=pie", "-ldflags", link, "-o", to, "./cmd/transponder")
}

// command runs a program and shows what it prints.
func (j *job) command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", j.when.Unix()), "GOARCH="+j.arch, "LC_ALL=C.UTF-8",
		"CGO_CFLAGS=-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2")
	if name == "scripts/go" && args[0] == "run" {
		cmd.Env = append(cmd.Env, "GOARCH="+runtime.GOARCH)
	} else if j.sysroot != "" {
		cmd.Env = append(cmd.Env, j.cross()...)
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return nil
}

// output runs a program and returns what it prints.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	return outputIn(ctx, dir, nil, name, args...)
}

// outputIn is output with more in the environment.
func outputIn(ctx context.Context, dir string, environ []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "LC_ALL=C.UTF-8"), environ...)
	out, err := cmd.Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(e.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}
