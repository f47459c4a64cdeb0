package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// imageUser is who the server is in a container, and its group.
const imageUser = 65532

// image makes an archive of the form of the OCI Image Layout 1.0. It has one image with one layer: the program, the libraries that it is linked
// with, the authorities that sign certificates, and folders for the state.
func (j *job) image(ctx context.Context) error {
	layer, err := j.layer(ctx)
	if err != nil {
		return err
	}
	var small bytes.Buffer
	level := gzip.BestCompression
	if j.fast {
		level = gzip.BestSpeed
	}
	w, err := gzip.NewWriterLevel(&small, level)
	if err != nil {
		return err
	}
	if _, err := w.Write(layer); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	blobs := map[string][]byte{}
	add := func(kind string, content []byte) map[string]any {
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		blobs["blobs/sha256/"+sum] = content
		return map[string]any{"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + sum, "size": len(content)}
	}
	created := j.when.Format(time.RFC3339)
	config, err := json.Marshal(map[string]any{
		"created": created, "architecture": j.arch, "os": "linux",
		"config": map[string]any{
			"User":         fmt.Sprintf("%d:%d", imageUser, imageUser),
			"Entrypoint":   []string{"/usr/bin/transponder"},
			"WorkingDir":   "/var/lib/transponder",
			"Env":          []string{"PATH=/usr/bin"},
			"Volumes":      map[string]any{"/var/lib/transponder": struct{}{}},
			"StopSignal":   "SIGTERM",
			"ExposedPorts": map[string]any{"8080/tcp": struct{}{}, "8081/tcp": struct{}{}, "8443/tcp": struct{}{}, "8444/tcp": struct{}{}, "1935/tcp": struct{}{}, "31001/udp": struct{}{}},
			"Labels":       map[string]string{"org.opencontainers.image.title": "transponder", "org.opencontainers.image.version": j.version.upstream},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
		"history": []any{map[string]any{"created": created, "created_by": "make image"}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": add("config.v1+json", config), "layers": []any{add("layer.v1.tar+gzip", small.Bytes())},
	})
	if err != nil {
		return err
	}
	entry := add("manifest.v1+json", manifest)
	entry["platform"] = map[string]string{"architecture": j.arch, "os": "linux"}
	entry["annotations"] = map[string]string{"org.opencontainers.image.ref.name": j.version.upstream}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{entry}})
	if err != nil {
		return err
	}
	blobs["index.json"], blobs["oci-layout"] = index, []byte(`{"imageLayoutVersion":"1.0.0"}`)
	t := newArchive(j.when)
	for name, content := range blobs {
		t.file(name, 0o644, 0, content)
	}
	whole, err := t.bytes()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(j.out, fmt.Sprintf("transponder-%s-%s.oci.tar", j.version.upstream, j.arch)), whole, 0o644)
}

// library matches a line of ldd: a library, or the loader.
var library = regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`)

// layer returns the files of a container.
func (j *job) layer(ctx context.Context) ([]byte, error) {
	t := newArchive(j.when)
	t.folder("tmp", 0o1777, 0)
	t.folder("var/lib/transponder", 0o700, imageUser)
	t.folder("var/lib/transponder/media", 0o700, imageUser)
	t.file("etc/passwd", 0o644, 0, fmt.Appendf(nil, "root:x:0:0:root:/:/bin/false\ntransponder:x:%d:%[1]d:Transponder:/var/lib/transponder:/bin/false\n", imageUser))
	t.file("etc/group", 0o644, 0, fmt.Appendf(nil, "root:x:0:\ntransponder:x:%d:\n", imageUser))
	licences, err := copyright(ctx, j.binary)
	if err != nil {
		return nil, err
	}
	t.file("usr/share/doc/transponder/copyright", 0o644, 0, licences)
	settings, err := packagedSettings()
	if err != nil {
		return nil, err
	}
	t.file(strings.TrimPrefix(settingsFile, "/"), 0o644, 0, settings)
	needs, err := output(ctx, "", "ldd", j.binary)
	if err != nil {
		return nil, err
	}
	files := map[string]string{"/usr/bin/transponder": j.binary, "/etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt"}
	for _, m := range library.FindAllStringSubmatch(needs, -1) {
		files[m[1]] = m[1]
	}
	for to, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		mode := fs.FileMode(0o755)
		if strings.HasSuffix(to, ".crt") {
			mode = 0o644
		}
		t.file(strings.TrimPrefix(to, "/"), mode, 0, content)
	}
	return t.bytes()
}

// archive is a tar archive with sorted entries, whose folders are added by themselves.
type archive struct {
	when    time.Time
	entries map[string]entryOf
}

type entryOf struct {
	header  *tar.Header
	content []byte
}

func newArchive(when time.Time) *archive { return &archive{when, map[string]entryOf{}} }

func (a *archive) file(name string, mode fs.FileMode, owner int, content []byte) {
	a.parents(name)
	a.entries[name] = entryOf{&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Uid: owner, Gid: owner, Size: int64(len(content)), ModTime: a.when}, content}
}

func (a *archive) folder(name string, mode int64, owner int) {
	a.parents(name)
	a.entries[name+"/"] = entryOf{&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: owner, Gid: owner, ModTime: a.when}, nil}
}

func (a *archive) parents(name string) {
	dir := filepath.Dir(name)
	if _, there := a.entries[dir+"/"]; dir != "." && !there {
		a.folder(dir, 0o755, 0)
	}
}

// bytes returns the archive.
func (a *archive) bytes() ([]byte, error) {
	names := make([]string, 0, len(a.entries))
	for name := range a.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		if err := w.WriteHeader(a.entries[name].header); err != nil {
			return nil, err
		}
		if _, err := w.Write(a.entries[name].content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}
