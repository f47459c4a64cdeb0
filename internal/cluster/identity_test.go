package cluster

import (
	"strings"
	"testing"
)

// Hosts with different names are different nodes, also if the names are long and begin alike.
func TestWordOf(t *testing.T) {
	for host, want := range map[string]string{
		"studio":                           "studio",
		"live.example.com":                 "live-example-com",
		"0123456789abcdef0123456789abcdef": "0123456789abcdef0123456789abcdef",
		"":                                 "node",
	} {
		if got := wordOf(host); got != want {
			t.Errorf("%q becomes %q, want %q", host, got, want)
		}
	}
	seen := map[string]string{}
	for _, end := range []string{"aaaa", "aaab", "aaaa-", strings.Repeat("a", 200), "é"} {
		host := "gke-production-pool-1-0123456789ab-" + end
		word := wordOf(host)
		if !isWord(word) || seen[word] != "" || word != wordOf(host) {
			t.Errorf("%q becomes %q, which is no name, that of %q, or not always the same", host, word, seen[word])
		}
		seen[word] = host
	}
}
