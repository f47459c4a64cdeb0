package transponder

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	prefixed := Naming{Prefix: "rtmp_"}
	full := Naming{Prefix: "rtmp_", FullURL: true}
	tests := []struct {
		name   string
		url    string
		naming Naming

		address, app, tcURL, publish string
	}{
		{
			"the seed's example", "rtmp://localhost:1935/live", prefixed,
			"localhost:1935", "live", "rtmp://localhost:1935/live", "rtmp_s",
		},
		{
			"the seed's capture", "rtmp://h:1935/live/?user1&pass1", prefixed,
			"h:1935", "live/?user1&pass1", "rtmp://h:1935/live/?user1&pass1", "rtmp_s",
		},
		{
			"app instance with parameters", "rtmp://h/app/inst/?user=u&pass=p", prefixed,
			"h:1935", "app/inst/?user=u&pass=p", "rtmp://h/app/inst/?user=u&pass=p", "rtmp_s",
		},
		{"trailing slash", "rtmp://h/live/", prefixed, "h:1935", "live", "rtmp://h/live", "rtmp_s"},
		{"no prefix", "rtmp://h/live", Naming{}, "h:1935", "live", "rtmp://h/live", "s"},
		{"no app", "rtmp://h:1935/", prefixed, "h:1935", "", "rtmp://h:1935/", "rtmp_s"},
		{"no path", "rtmp://h", prefixed, "h:1935", "", "rtmp://h/", "rtmp_s"},
		{"query without path", "rtmp://h?a=b", prefixed, "h:1935", "?a=b", "rtmp://h/?a=b", "rtmp_s"},
		{"upper case scheme", "RTMP://H/live", prefixed, "H:1935", "live", "rtmp://H/live", "rtmp_s"},
		{"TLS", "rtmps://h/live2", prefixed, "h:443", "live2", "rtmps://h/live2", "rtmp_s"},
		{"TLS with port", "rtmps://h:8443/live2", prefixed, "h:8443", "live2", "rtmps://h:8443/live2", "rtmp_s"},
		{"IPv6", "rtmp://[::1]/live", prefixed, "[::1]:1935", "live", "rtmp://[::1]/live", "rtmp_s"},
		{"IPv6 with port", "rtmp://[fe80::1]:1936/live", prefixed, "[fe80::1]:1936", "live", "rtmp://[fe80::1]:1936/live", "rtmp_s"},
		{"user info is not in tcUrl", "rtmp://u:p@h/live", prefixed, "h:1935", "live", "rtmp://h/live", "rtmp_s"},
		{"full URL", "rtmp://h/live/key", full, "h:1935", "live", "rtmp://h/live", "key"},
		{"full URL with instance", "rtmp://h/app/inst/key", full, "h:1935", "app/inst", "rtmp://h/app/inst", "key"},
		{
			"the query stays with the name, byte for byte", "rtmps://h:443/rtmp/14?ds=1&s_l=1&a=A%2Fb/c", full,
			"h:443", "rtmp", "rtmps://h:443/rtmp", "14?ds=1&s_l=1&a=A%2Fb/c",
		},
		{
			"full URL that ends in a slash", "rtmp://h/app/?a=b", full,
			"h:1935", "app/?a=b", "rtmp://h/app/?a=b", "rtmp_s",
		},
		{"full URL without app", "rtmp://h/key", full, "h:1935", "", "rtmp://h/", "key"},

		// odd, and legal
		{"two slashes", "rtmp://h//live", prefixed, "h:1935", "/live", "rtmp://h//live", "rtmp_s"},
		{"slashes within", "rtmp://h/a//b/c", prefixed, "h:1935", "a//b/c", "rtmp://h/a//b/c", "rtmp_s"},
		{"slashes within, full", "rtmp://h/a//b", full, "h:1935", "a", "rtmp://h/a", "b"},
		{"percent codes stay", "rtmp://h/a%20b/%C3%A4", prefixed, "h:1935", "a%20b/%C3%A4", "rtmp://h/a%20b/%C3%A4", "rtmp_s"},
		{"letters beyond ASCII stay", "rtmp://h/ä/schlüssel", full, "h:1935", "ä", "rtmp://h/ä", "schlüssel"},
		{"an address in the query", "rtmp://h/live?u=a@b.c:1", prefixed, "h:1935", "live?u=a@b.c:1", "rtmp://h/live?u=a@b.c:1", "rtmp_s"},
		{"@ and : in the path", "rtmp://h/a:b@c/k:1@2", full, "h:1935", "a:b@c", "rtmp://h/a:b@c", "k:1@2"},
		{"a URL in the query", "rtmp://h/live/k?u=rtmp://x/y/", full, "h:1935", "live", "rtmp://h/live", "k?u=rtmp://x/y/"},
		{"a fragment", "rtmp://h/live/k#1", full, "h:1935", "live", "rtmp://h/live", "k#1"},
		{"parameters of a part", "rtmp://h/live;v=1/k;w=2", full, "h:1935", "live;v=1", "rtmp://h/live;v=1", "k;w=2"},
		{"an empty query", "rtmp://h/live?", prefixed, "h:1935", "live?", "rtmp://h/live?", "rtmp_s"},
		{"dots", "rtmp://h/../live/./k", full, "h:1935", "../live/.", "rtmp://h/../live/.", "k"},
		{"a final dot of the host", "rtmp://h.example./live", prefixed, "h.example.:1935", "live", "rtmp://h.example./live", "rtmp_s"},
		{"a user without password", "rtmp://u@h/live", prefixed, "h:1935", "live", "rtmp://h/live", "rtmp_s"},
		{"IPv6 with a user and a key", "rtmps://u:p@[2001:db8::1]/live/k?t=1", full, "[2001:db8::1]:443", "live", "rtmps://[2001:db8::1]/live", "k?t=1"},
		{"an empty port", "rtmp://h:/live", prefixed, "h:1935", "live", "rtmp://h:/live", "rtmp_s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseTarget(tt.url, "s", tt.naming)
			if err != nil {
				t.Fatalf("ParseTarget(%q) = %v", tt.url, err)
			}
			if got.Address() != tt.address || got.App != tt.app || got.TCURL != tt.tcURL || got.Name != tt.publish {
				t.Errorf("ParseTarget(%q) = address %q, app %q, tcUrl %q, name %q\nwant %q, %q, %q, %q", tt.url,
					got.Address(), got.App, got.TCURL, got.Name, tt.address, tt.app, tt.tcURL, tt.publish)
			}
			if got.URL() != tt.url {
				t.Errorf("URL() = %q, want it as given, %q", got.URL(), tt.url)
			}
		})
	}
}

func TestParseTargetUser(t *testing.T) {
	got, err := ParseTarget("rtmp://na%40me:p%2F%3A%25%C3%A4@h/live", "s", Naming{})
	if err != nil {
		t.Fatal(err)
	}
	if got.User != "na@me" || got.Password != "p/:%ä" {
		t.Errorf("user %q, password %q, want na@me and p/:%%ä", got.User, got.Password)
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, url := range []string{
		"", "live", "http://h/live", "rtmp:/h/live", "://h", "rtmp://", "rtmp:///live", "rtmp://:1935/live", "rtmp://h:0/live",
		"rtmp://h:70000/live", "rtmp://h:port/live", "rtmp://::1/live", "rtmp://[::1/live", "rtmp://[::1]x/live",
		"rtmp://[nonsense]/live", "rtmp://bücher.example/live", "rtmp://u%zz@h/live", "rtmp://h/li ve", "rtmp://h/li\nve",
	} {
		_, err := ParseTarget(url, "s", Naming{})
		var bad *RequestError
		if !errors.As(err, &bad) || bad.Field != "rtmpUrl" || bad.Reason == "" {
			t.Errorf("ParseTarget(%q) = %v, want a RequestError on rtmpUrl", url, err)
		}
	}
}

// A canary in each place where a URL can hold a secret must not show in any print form, nor in an error.
func TestTargetKeepsSecrets(t *testing.T) {
	for _, url := range []string{
		"rtmp://CANARY:CANARY@h/live",
		"rtmp://h/live/CANARY",
		"rtmp://h/live?CANARY",
		"rtmp://h/live/?k=CANARY",
		"rtmps://h/app/inst/CANARY?t=CANARY",
		"rtmp://user:CANARY/CANARY@h/live",
		"rtmp://user:1/CANARY@h/live",
		"rtmp://user:%CANARY@h/live",
		"rtmp://h:CANARY/live",
	} {
		for _, full := range []bool{false, true} {
			target, err := ParseTarget(url, "s", Naming{FullURL: full})
			for _, printed := range []string{
				fmt.Sprint(err), target.String(), fmt.Sprintf("%v %+v %#v %s", target, target, target, target), target.LogValue().String(),
			} {
				if strings.Contains(printed, "CANARY") {
					t.Errorf("ParseTarget(%q), full URL %v, prints %q", url, full, printed)
				}
			}
		}
	}
}

func TestTargetKey(t *testing.T) {
	key := func(url string) string {
		target, err := ParseTarget(url, "s", Naming{Prefix: "rtmp_"})
		if err != nil {
			t.Fatal(err)
		}
		return target.key()
	}
	same := []string{"rtmp://host/live", "RTMP://HOST/live", "rtmp://host:1935/live", "rtmp://host:1935/live/"}
	for _, url := range same {
		if key(url) != key(same[0]) {
			t.Errorf("%q and %q are one address", url, same[0])
		}
	}
	for _, url := range []string{"rtmps://host/live", "rtmp://host:1936/live", "rtmp://host/Live", "rtmp://u@host/live", "rtmp://host/live/2"} {
		if key(url) == key(same[0]) {
			t.Errorf("%q and %q are two addresses", url, same[0])
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	f.Add("rtmp://u:p@h:1935/live/key?token=t", "s", true)
	f.Add("rtmp://[::1]/live/?a", "s", false)
	f.Fuzz(func(t *testing.T, url, name string, full bool) {
		target, err := ParseTarget(url, name, Naming{Prefix: "rtmp_", FullURL: full})
		if err != nil {
			return
		}
		if target.Host == "" || target.Port == "" || target.URL() != url || strings.Contains(target.TCURL, "@") && !strings.Contains(target.App, "@") {
			t.Errorf("ParseTarget(%q) = %#v", url, target)
		}
	})
}
