package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documents name only settings that exist: after --set, after TRANSPONDER_, and in blocks of properties. Each such block can be loaded.
func TestDocuments(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	blocks := regexp.MustCompile("(?s)```properties\n(.*?)```")
	set := regexp.MustCompile(`--set ([\w.]+)=`)
	env := regexp.MustCompile(`\b` + envPrefix + `[A-Z_]+\b`)
	c := Default()
	names := envNames(c.settings())
	password := write(t, "secret")
	for _, file := range append(files, "../../README.md") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, m := range blocks.FindAllStringSubmatch(text, -1) {
			settings := strings.ReplaceAll(m[1], "/etc/transponder/sip-password", password) // which is read at once
			if _, warnings, err := Load(Sources{File: write(t, settings)}); err != nil || len(warnings) > 0 {
				t.Errorf("%s: %s\n%q, %v", file, m[1], warnings, err)
			}
		}
		for _, m := range set.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(Keys(), m[1]) {
				t.Errorf("%s: --set %s is no setting", file, m[1])
			}
		}
		for _, name := range env.FindAllString(text, -1) {
			if name != envPrefix && !slices.Contains(names, name) && !slices.Contains(ofCommands, name) {
				t.Errorf("%s: %s is no setting", file, name)
			}
		}
	}
}

// The settings that docs/sip.md names in backticks exist, and where a value of a SIP setting is named, the server takes it.
func TestSIPDocument(t *testing.T) {
	b, err := os.ReadFile("../../docs/sip.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("`((?:sip|rtmp|push|port)_[a-z_0-9]+)(=[^`]*)?`").FindAllStringSubmatch(string(b), -1)
	if len(found) < 20 {
		t.Fatalf("only %d settings are named", len(found))
	}
	for _, m := range found {
		if m[1] == "rtmp_interview" {
			continue // a stream
		}
		if !slices.Contains(Keys(), m[1]) {
			t.Errorf("%s is no setting", m[1])
		} else if m[2] != "" && strings.HasPrefix(m[1], "sip_") {
			accept(t, m[1]+m[2])
		}
	}
}

// The settings that are named in backticks in the settings' own document exist, and where a value is named, the server takes it.
func TestSettingsDocument(t *testing.T) {
	b, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z]+[_.][a-z_.]+)(=[^`]*)?`")
	found := named.FindAllStringSubmatch(string(b), -1)
	if len(found) < 10 {
		t.Fatalf("only %d settings are named", len(found))
	}
	for _, m := range found {
		if strings.HasSuffix(m[1], ".properties") || strings.HasPrefix(m[1], "net.") || m[1] == "rtmp_cam" {
			continue // a file, the kernel's, a stream
		}
		if !slices.Contains(Keys(), m[1]) {
			t.Errorf("%s is no setting", m[1])
		} else if m[2] != "" {
			accept(t, m[1]+m[2])
		}
	}
	if m := regexp.MustCompile("`-?[0-9]+`").FindString(string(b)); m != "" {
		t.Errorf("write %s as `key=value`: then it is loaded here", m)
	}
}
