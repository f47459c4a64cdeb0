package access

import (
	"strings"
	"testing"
	"time"
)

// matches is Match, written as simply as possible.
func matches(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return matches(pattern[1:], name) || name != "" && matches(pattern, name[1:])
	}
	return name != "" && pattern[0] == name[0] && matches(pattern[1:], name[1:])
}

var patterns = []struct {
	pattern, name string
	want          bool
}{
	{"", "", true},
	{"", "a", false},
	{"*", "", true},
	{"*", "a/b\x00ü", true},
	{"a", "a", true},
	{"a*", "a", true},
	{"a*a", "a", false},
	{"a*a", "aa", true},
	{"*a", "ba", true},
	{"*a", "ab", false},
	{"a*b*c", "a--b--b--c", true},
	{"a*bc*c", "abc", false},
	{"a**b", "ab", true},
	{"a.c", "abc", false},   // no regular expression
	{"a?c", "abc", false},   // no shell
	{"[ab]", "a", false},    // no class
	{"é", "e\u0301", false}, // bytes, as names are compared
	{"cam-*", "cam-1/2", true},
}

func TestMatch(t *testing.T) {
	for _, test := range patterns {
		if got := Match(test.pattern, test.name); got != test.want {
			t.Errorf("Match(%q, %q) = %v", test.pattern, test.name, got)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, test := range patterns {
		f.Add(test.pattern, test.name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 12 || len(name) > 24 {
			return // the simple way takes too long
		}
		if got, want := Match(pattern, name), matches(pattern, name); got != want {
			t.Errorf("Match(%q, %q) = %v, want %v", pattern, name, got, want)
		}
	})
}

// A pattern of many stars takes no long time: the author of a token is not always the owner of the server.
func TestMatchIsFast(t *testing.T) {
	pattern, name := strings.Repeat("*a", maxPattern/2)+"*b", strings.Repeat("a", 64<<10)
	began := time.Now()
	for range 100 {
		if Match(pattern, name) {
			t.Fatal("it matches")
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("100 matches took %v", took)
	}
}

func TestMatchURL(t *testing.T) {
	for _, test := range []struct {
		pattern, address string
		want             bool
	}{
		{"*", "rtmp://h:1935/live", true},
		{"rtmps://h:443/live/*", "rtmps://h:443/live/x", true},
		{"rtmps://h/live/*", "rtmps://h:443/live/x", true},
		{"rtmp://h/live/*", "rtmp://h:1935/live/x", true},
		{"rtmp://h/live/*", "rtmp://h:1936/live/x", false},
		{"rtmp://h/live/*", "rtmps://h:443/live/x", false},
		{"rtmps://H/live/*", "rtmps://h:443/live/x", true},
		{"rtmps://*.example.com/*", "rtmps://a.example.com:443/x", true},
		{"rtmps://*.example.com/*", "rtmps://evil:443/.example.com/x", false},
		{"rtmps://*.example.com/*", "rtmps://example.com:443/x", false},
		{"rtmps://*.example.com/*", "rtmps://evilexample.com:443/x", false},
		{"rtmps://*/app/*", "rtmps://h:444/app/x", true},
		{"rtmps://h:443", "rtmps://h:443/x", false},
		{"rtmp://[::1]/x", "rtmp://[::1]:1935/x", true},
		{"rtmp://[::1]:7/x", "rtmp://[::1]:7/x", true},
		{"", "", false},
		{"x", "y", false},
	} {
		if got := matchURL(test.pattern, test.address); got != test.want {
			t.Errorf("matchURL(%q, %q) = %v", test.pattern, test.address, got)
		}
	}
}
