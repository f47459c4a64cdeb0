package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// release makes the source archive, the package, the lists of what is in the program, and the checksums of all of them.
func (j *job) release(ctx context.Context, work string) error {
	deb, err := j.debianPackage(ctx, work)
	if err != nil {
		return err
	}
	source, err := j.sources(ctx)
	if err != nil {
		return err
	}
	bills, err := j.writeBills(ctx, work)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, file := range slices.Concat([]string{source}, bills, []string{deb}) {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), filepath.Base(file))
	}
	return os.WriteFile(filepath.Join(j.out, "SHA256SUMS"), sums.Bytes(), 0o644)
}

// sources writes the archive of the commit. git gives all files the time of the commit.
func (j *job) sources(ctx context.Context) (string, error) {
	name := "transponder-" + j.version.upstream
	cmd := exec.CommandContext(ctx, "git", "archive", "--format=tar", "--prefix="+name+"/", "HEAD")
	cmd.Stderr = os.Stderr
	tar, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git archive: %w", err)
	}
	to := filepath.Join(j.out, name+".tar.gz")
	return to, os.WriteFile(to, packed(tar), 0o644)
}

// The parts of a list in the form of CycloneDX 1.5, as far as it is used here.
type (
	bill struct {
		Format     string      `json:"bomFormat"`
		Spec       string      `json:"specVersion"`
		Version    int         `json:"version"`
		Metadata   metadata    `json:"metadata"`
		Components []component `json:"components"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type    string `json:"type"`
		Ref     string `json:"bom-ref"`
		Name    string `json:"name"`
		Version string `json:"version"`
		URL     string `json:"purl"`
	}
)

// writeBills writes the list of what is in the program for each architecture, and returns the names of the files.
func (j *job) writeBills(ctx context.Context, work string) ([]string, error) {
	libraries, err := j.libraries(ctx, work)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, arch := range slices.Sorted(maps.Keys(triplets)) {
		bill, err := j.bill(ctx, arch, libraries)
		if err != nil {
			return nil, fmt.Errorf("the list of what is in the program for %s: %w", arch, err)
		}
		name := filepath.Join(j.out, "transponder_"+j.version.upstream+"_"+arch+".cdx.json")
		if err := os.WriteFile(name, bill, 0o644); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// libraries returns the names of Debian's packages with the libraries that the program is linked with. They are the same on both architectures.
func (j *job) libraries(ctx context.Context, work string) ([]string, error) {
	depends, err := j.sharedLibraries(ctx, work)
	if err != nil {
		return nil, err
	}
	var names []string
	for entry := range strings.SplitSeq(depends, ", ") {
		name, _, _ := strings.Cut(entry, " ")
		names = append(names, name)
	}
	slices.Sort(names) // a library with two conditions on its version is there twice
	return slices.Compact(names), nil
}

// bill lists what is in the program of an architecture: the modules, Go itself, and Debian's libraries. The modules of the program that was built stand
// in that program. For the other architecture nothing is compiled: the modules are those that Go would compile, and the versions of the libraries
// are those that make package ARCH would link with. make e2e-package compares this with a program that was built so.
func (j *job) bill(ctx context.Context, arch string, libraries []string) ([]byte, error) {
	var all []module
	var err error
	if arch == j.arch {
		all, err = modules(ctx, j.binary)
	} else {
		all, err = listModules(ctx, arch)
	}
	if err != nil {
		return nil, err
	}
	var parts []component
	add := func(kind, name, version, url string) {
		parts = append(parts, component{kind, url, name, version, url})
	}
	for _, m := range all {
		add("library", m.Path, m.Version, "pkg:golang/"+m.Path+"@"+m.Version)
	}
	compiler, err := output(ctx, "", "scripts/go", "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	add("library", "std", compiler, "pkg:golang/std@"+strings.TrimPrefix(compiler, "go"))
	sysroot, err := j.sysrootOf(ctx, arch)
	if err != nil {
		return nil, err
	}
	for _, name := range libraries {
		query := []string{"-W", "-f=${Version}", name}
		if sysroot != "" {
			query = append([]string{"--admindir=" + filepath.Join(sysroot, "dpkg")}, query...)
		}
		version, err := output(ctx, "", "dpkg-query", query...)
		if err != nil {
			return nil, err
		}
		add("library", name, version, "pkg:deb/debian/"+name+"@"+url.PathEscape(version)+"?arch="+arch+"&distro=bookworm")
	}
	slices.SortFunc(parts, func(a, b component) int { return cmp.Compare(a.URL, b.URL) })
	own := "pkg:generic/transponder@" + url.PathEscape(j.version.upstream)
	text, err := json.MarshalIndent(bill{
		Format: "CycloneDX", Spec: "1.5", Version: 1, Components: parts,
		Metadata: metadata{j.when.Format("2006-01-02T15:04:05Z"), component{"application", own, "transponder", j.version.upstream, own}},
	}, "", "  ")
	return append(text, '\n'), err
}
