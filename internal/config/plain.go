package config

import (
	"slices"
	"strings"
)

// plainWords are values of text settings that say nothing secret.
var plainWords = []string{"true", "false", "auto", "open", "closed", "debug", "info", "warn", "error"}

// WithoutSecrets returns all settings in the form of Properties, for people who help. A text that differs from the default is *** unless it is a plain
// word: nobody has to remember which settings are secret.
func (c Config) WithoutSecrets() []string {
	standard := Default()
	defaults := standard.settings()
	var lines []string
	for i, s := range c.settings() {
		value := strings.TrimSpace(s.get())
		if s.limits == "" && value != strings.TrimSpace(defaults[i].get()) && !slices.Contains(plainWords, value) {
			value = "***"
		}
		lines = append(lines, s.key+"="+escape(value))
	}
	return lines
}
