package config

import (
	"slices"
	"strings"
	"testing"
)

// Without secrets no text that somebody has set is left, also if it looks like a number.
func TestWithoutSecrets(t *testing.T) {
	c := Default()
	set := 0
	for _, s := range c.settings() {
		if s.limits == "" && s.set("4711canary4711") == nil && strings.Contains(s.get(), "canary") {
			set++
		}
	}
	c.Token.Secret = "12345678901234567890123456789012"
	c.Listen.HTTP = 8099
	lines := c.WithoutSecrets()
	if set < 50 || len(lines) != len(c.Properties()) {
		t.Fatalf("%d texts were set, %d lines", set, len(lines))
	}
	if text := strings.Join(lines, "\n"); strings.Contains(text, "canary") || strings.Contains(text, "1234567890") {
		t.Errorf("a text is left:\n%s", text)
	}
	for _, want := range []string{"http.port=8099", "https.port=8444", "token_secret=***"} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s is missing", want)
		}
	}
}
