package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// triplets are the architectures that the package can be built for, as the compilers call them.
var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// prepareCross fetches the libraries of another architecture than this machine's.
func (j *job) prepareCross(ctx context.Context, what string) error {
	if triplets[j.arch] == "" {
		return fmt.Errorf("-arch %s: amd64 or arm64", j.arch)
	}
	if what == "image" {
		return fmt.Errorf("the image of %s is built on a machine with %[1]s, whose loader says which libraries it needs", j.arch)
	}
	var err error
	j.sysroot, err = j.sysrootOf(ctx, j.arch)
	return err
}

// sysrootOf returns the folder with the libraries of an architecture, and fetches them if they are not there. It is "" for this machine's.
func (j *job) sysrootOf(ctx context.Context, arch string) (string, error) {
	if arch == runtime.GOARCH {
		return "", nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "transponder", "sysroot-"+arch)
	return folder, j.command(ctx, "scripts/sysroot.sh", arch, folder)
}

// libraryFolders are the folders of the sysroot that have libraries. Debian's programs find the last two by their alternatives.
func (j *job) libraryFolders() []string {
	lib := filepath.Join(j.sysroot, "usr", "lib", triplets[j.arch])
	return []string{lib, filepath.Join(j.sysroot, "lib", triplets[j.arch]), filepath.Join(lib, "blas"), filepath.Join(lib, "lapack")}
}

// cross returns the environment in which Go builds for the sysroot.
func (j *job) cross() []string {
	var link []string
	for _, folder := range j.libraryFolders() {
		link = append(link, "-Wl,-rpath-link,"+folder)
	}
	return []string{
		"CGO_ENABLED=1", "CC=" + triplets[j.arch] + "-gcc --sysroot=" + j.sysroot, "CGO_LDFLAGS=" + strings.Join(link, " "),
		"PKG_CONFIG_SYSROOT_DIR=" + j.sysroot, "PKG_CONFIG_LIBDIR=" + filepath.Join(j.libraryFolders()[0], "pkgconfig"),
	}
}

// crossLibraries are the flags by which dpkg-shlibdeps finds the libraries of the sysroot.
func (j *job) crossLibraries() []string {
	if j.sysroot == "" {
		return nil
	}
	flags := []string{"--admindir=" + filepath.Join(j.sysroot, "dpkg")}
	for _, folder := range j.libraryFolders() {
		flags = append(flags, "-l"+folder)
	}
	return flags
}
