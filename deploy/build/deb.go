package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// maintainer answers for the package; DEBFULLNAME and DEBEMAIL name another one, as for Debian's own tools.
func maintainer() string {
	name, mail := os.Getenv("DEBFULLNAME"), os.Getenv("DEBEMAIL")
	if name == "" || mail == "" {
		return "The Transponder authors <authors@transponder.invalid>"
	}
	return name + " <" + mail + ">"
}

const description = `Description: live streams from WebRTC, WHIP, SIP and RTMP to RTMP servers
 Transponder takes live streams from browsers, encoders and phones, and
 publishes each of them to any number of RTMP or RTMPS servers, such as
 YouTube, Facebook, Twitch, Wowza or nginx. Pictures in H.264 pass through
 untouched; sound is encoded to AAC once for each stream.
 .
 It speaks the REST, WebSocket and settings contract of Flashphoner Web Call
 Server, has pages to publish from and to operate it, and can be one service
 of many servers over NATS.
`

// serverSettings are the settings of the package that differ from those of a server in a folder of its own.
var serverSettings = []struct{ key, value string }{
	{"state_dir", "/var/lib/transponder"},
	{"tls_dir", "/var/lib/transponder/tls"},
	{"media_dir", "/var/lib/transponder/media"},
}

// packagedSettings returns the settings file of the package.
func packagedSettings() ([]byte, error) {
	text, err := os.ReadFile("flashphoner.properties")
	if err != nil {
		return nil, err
	}
	head := regexp.MustCompile(`(?s)^# The settings of Transponder.*?\n#\n# The keys`)
	if !head.Match(text) {
		return nil, errors.New("flashphoner.properties does not begin as it did")
	}
	text = head.ReplaceAll(text, []byte("# The settings of Transponder, each with its default, or with what the package has set. After a change: systemctl restart transponder\n#\n# The keys"))
	for _, s := range serverSettings {
		line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(s.key) + `=.*$`)
		if n := len(line.FindAll(text, -1)); n != 1 {
			return nil, fmt.Errorf("flashphoner.properties has %d lines with %s, want 1", n, s.key)
		}
		text = line.ReplaceAll(text, []byte(s.key+"="+s.value))
	}
	return text, nil
}

// debianPackage makes the package and returns its path.
func (j *job) debianPackage(ctx context.Context, work string) (string, error) {
	if j.version.debian == "" {
		return "", errors.New("no version")
	}
	root := filepath.Join(work, "root")
	depends, err := j.sharedLibraries(ctx, work)
	if err != nil {
		return "", err
	}
	if err := j.stage(ctx, root); err != nil {
		return "", err
	}
	size, err := sizeOf(root)
	if err != nil {
		return "", err
	}
	files := map[string][]byte{
		"conffiles": []byte(settingsFile + "\n"),
		"control": fmt.Appendf(nil, "Package: transponder\nVersion: %s\nArchitecture: %s\nMaintainer: %s\nInstalled-Size: %d\nPre-Depends: init-system-helpers (>= 1.54~)\n"+
			"Depends: %s, adduser, ca-certificates\nSection: video\nPriority: optional\n%s",
			j.version.debian, j.arch, maintainer(), (size+1023)/1024, depends, description),
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if files[script], err = os.ReadFile(filepath.Join("deploy", "debian", script)); err != nil {
			return "", err
		}
	}
	if files["md5sums"], err = md5sums(root); err != nil {
		return "", err
	}
	for name, content := range files {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(name, "p") {
			mode = 0o755
		}
		if err := write(root, "DEBIAN/"+name, mode, content); err != nil {
			return "", err
		}
	}
	if err := settle(root, j.when); err != nil {
		return "", err
	}
	to := filepath.Join(j.out, fmt.Sprintf("transponder_%s_%s.deb", j.version.debian, j.arch))
	// With several threads the bytes depend on how many there are.
	compress := []string{"-Zxz", "--threads-max=1"}
	if j.fast {
		compress = []string{"-Zgzip", "-z1"}
	}
	if err := j.command(ctx, "dpkg-deb", append(compress, "--root-owner-group", "--build", root, to)...); err != nil {
		return "", err
	}
	return to, nil
}

// stage lays out the files of the package.
func (j *job) stage(ctx context.Context, root string) error {
	program, err := os.ReadFile(j.binary)
	if err != nil {
		return err
	}
	settings, err := packagedSettings()
	if err != nil {
		return err
	}
	licences, err := copyright(ctx, j.binary)
	if err != nil {
		return err
	}
	changes, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return err
	}
	const doc = "usr/share/doc/transponder/"
	debianChanges := fmt.Sprintf("transponder (%s) bookworm; urgency=medium\n\n  * Version %s. See changelog.gz.\n\n -- %s  %s\n",
		j.version.debian, j.version.upstream, maintainer(), j.when.Format(time.RFC1123Z))
	files := []struct {
		name    string
		mode    fs.FileMode
		content []byte
	}{
		{"usr/bin/transponder", 0o755, program},
		{strings.TrimPrefix(settingsFile, "/"), 0o644, settings},
		{"usr/share/man/man1/transponder.1.gz", 0o644, packed(manual(j.version.upstream, j.when))},
		{"usr/share/bash-completion/completions/transponder", 0o644, bashCompletion()},
		{"usr/share/zsh/vendor-completions/_transponder", 0o644, zshCompletion()},
		{doc + "copyright", 0o644, licences},
		{doc + "changelog.gz", 0o644, packed(changes)},
		{doc + "changelog.Debian.gz", 0o644, packed([]byte(debianChanges))},
	}
	for from, to := range map[string]string{
		"transponder.service": "lib/systemd/system/transponder.service",
		"transponder.sysctl":  "usr/lib/sysctl.d/60-transponder.conf",
		"lintian-overrides":   "usr/share/lintian/overrides/transponder",
	} {
		content, err := os.ReadFile(filepath.Join("deploy", "debian", from))
		if err != nil {
			return err
		}
		if err := write(root, to, 0o644, content); err != nil {
			return err
		}
	}
	guides, err := filepath.Glob("docs/*.md")
	if err != nil {
		return err
	}
	for _, guide := range guides {
		content, err := os.ReadFile(guide)
		if err != nil {
			return err
		}
		if err := write(root, doc+filepath.Base(guide), 0o644, content); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := write(root, f.name, f.mode, f.content); err != nil {
			return err
		}
	}
	return nil
}

// sharedLibraries returns the packages that the program needs for the libraries that it is linked with.
func (j *job) sharedLibraries(ctx context.Context, work string) (string, error) {
	dir := filepath.Join(work, "shlibs")
	if err := write(dir, "debian/control", 0o644, []byte("Source: transponder\n\nPackage: transponder\nArchitecture: any\n")); err != nil {
		return "", err
	}
	program, err := filepath.Abs(j.binary)
	if err != nil {
		return "", err
	}
	found, err := output(ctx, dir, "dpkg-shlibdeps", append(j.crossLibraries(), "-O", program)...)
	if err != nil {
		return "", err
	}
	_, list, ok := strings.Cut(found, "shlibs:Depends=")
	if !ok {
		return "", fmt.Errorf("dpkg-shlibdeps says %q", found)
	}
	return list, nil
}

// md5sums returns the sums of all files below root but the settings, which are for change.
func md5sums(root string) ([]byte, error) {
	var b bytes.Buffer
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if name, _ := filepath.Rel(root, path); "/"+name != settingsFile {
			fmt.Fprintf(&b, "%x  %s\n", md5.Sum(content), name)
		}
		return err
	})
	return b.Bytes(), err
}

// write makes a file below root, with its folders.
func write(root, name string, mode fs.FileMode, content []byte) error {
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask
}

// settle gives all files and folders the same time, and folders the same mode.
func settle(root string, when time.Time) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if err := os.Chmod(path, 0o755); err != nil {
				return err
			}
		}
		return os.Chtimes(path, when, when)
	})
}

// sizeOf returns the bytes of all files below root.
func sizeOf(root string) (size int64, err error) {
	err = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// packed compresses a text, with neither a name nor a time.
func packed(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is one that there is
	_, _ = w.Write(text)                                  // a buffer takes all
	_ = w.Close()
	return b.Bytes()
}
