package transponder

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	prefixed := naming{Prefix: "rtmp_"}
	full := naming{Prefix: "rtmp_", FullURL: true}
	bySetting := naming{Prefix: "rtmp_", FullURL: true, Parameters: true}
	tests := []struct {
		name   string
		url    string
		naming naming

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
		{"no prefix", "rtmp://h/live", naming{}, "h:1935", "live", "rtmp://h/live", "s"},
		{"another name", "rtmp://h/live", naming{Prefix: "rtmp_", Name: "room"}, "h:1935", "live", "rtmp://h/live", "rtmp_room"},
		{"another name, with the prefix", "rtmp://h/live", naming{Prefix: "rtmp_", Name: "rtmp_room"}, "h:1935", "live", "rtmp://h/live", "rtmp_room"},
		{"another name, no prefix", "rtmp://h/live", naming{Name: "room"}, "h:1935", "live", "rtmp://h/live", "room"},
		{"another name, but a full URL", "rtmp://h/live/key", naming{Prefix: "rtmp_", Name: "room", FullURL: true}, "h:1935", "live", "rtmp://h/live", "key"},
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
			"the seed's parameters with rtmp_transponder_full_url", "rtmp://h/app/?user=u&pass=p", bySetting,
			"h:1935", "app/?user=u&pass=p", "rtmp://h/app/?user=u&pass=p", "rtmp_s",
		},
		{
			"the seed's instance with rtmp_transponder_full_url", "rtmp://h/app/inst/?user=u&pass=p", bySetting,
			"h:1935", "app/inst/?user=u&pass=p", "rtmp://h/app/inst/?user=u&pass=p", "rtmp_s",
		},
		{"parameters and no app", "rtmp://h?a=b", bySetting, "h:1935", "?a=b", "rtmp://h/?a=b", "rtmp_s"},
		{
			"the seed's name with rtmp_transponder_full_url", "rtmp://h/app/inst/key", bySetting,
			"h:1935", "app/inst", "rtmp://h/app/inst", "key",
		},
		{
			"YouTube's backup", "rtmp://b.rtmp.youtube.com/live2?backup=1/abcd-efgh", full,
			"b.rtmp.youtube.com:1935", "live2?backup=1", "rtmp://b.rtmp.youtube.com/live2?backup=1", "abcd-efgh",
		},
		{"SRS's vhost", "rtmp://h/live?vhost=a.example/key", full, "h:1935", "live?vhost=a.example", "rtmp://h/live?vhost=a.example", "key"},
		{"SRS's vhost at the name", "rtmp://h/live/key?vhost=a.example", full, "h:1935", "live", "rtmp://h/live", "key?vhost=a.example"},
		{
			"Kaltura's", "rtmp://h/kLive?p=1&e=0_a&i=0&t=tok/0_a_1", full,
			"h:1935", "kLive?p=1&e=0_a&i=0&t=tok", "rtmp://h/kLive?p=1&e=0_a&i=0&t=tok", "0_a_1",
		},
		{
			"Bilibili's", "rtmp://h/live-bvc/?streamname=live_1_2&key=abc&schedule=rtmp&pflag=1", full,
			"h:1935", "live-bvc", "rtmp://h/live-bvc", "?streamname=live_1_2&key=abc&schedule=rtmp&pflag=1",
		},
		{"the seed's parameters with a key", "rtmp://h/app/?user=u&pass=p/key", full, "h:1935", "app/?user=u&pass=p", "rtmp://h/app/?user=u&pass=p", "key"},
		{
			"the same by setting", "rtmp://h/app/inst/?user=u&pass=p/key", bySetting,
			"h:1935", "app/inst/?user=u&pass=p", "rtmp://h/app/inst/?user=u&pass=p", "key",
		},
		{
			"a query of the app and one of the name", "rtmp://h/live?a=b/key?c=d/e", full,
			"h:1935", "live?a=b", "rtmp://h/live?a=b", "key?c=d/e",
		},
		{
			"a query of the instance and one of the name", "rtmp://h/live/inst?a=b/key?c=d/e", full,
			"h:1935", "live/inst?a=b", "rtmp://h/live/inst?a=b", "key?c=d/e",
		},
		{"a slash in the query of the app", "rtmp://h/live?a=b/c/key", full, "h:1935", "live?a=b/c", "rtmp://h/live?a=b/c", "key"},
		{"a query without an app, and a key", "rtmp://h?a=b/key", full, "h:1935", "?a=b", "rtmp://h/?a=b", "key"},
		{"a name with a query and no app", "rtmp://h/key?a=b", full, "h:1935", "", "rtmp://h/", "key?a=b"},
		{"a name with Adobe's prefix", "rtmp://h/live/mp4:folder/name", full, "h:1935", "live", "rtmp://h/live", "mp4:folder/name"},
		{"the same in an instance", "rtmp://h/live/inst/mp4:folder/name?a=b", full, "h:1935", "live/inst", "rtmp://h/live/inst", "mp4:folder/name?a=b"},
		{"many parts", "rtmp://h/a/b/c/d", full, "h:1935", "a/b/c", "rtmp://h/a/b/c", "d"},
		{"a colon in the app", "rtmp://h/a:b/c/d", full, "h:1935", "a:b/c", "rtmp://h/a:b/c", "d"},
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
			got, err := parseTarget(tt.url, "s", tt.naming)
			if err != nil {
				t.Fatalf("parseTarget(%q) = %v", tt.url, err)
			}
			if net.JoinHostPort(got.Host, got.Port) != tt.address || got.App != tt.app || got.TCURL != tt.tcURL || got.Name != tt.publish {
				t.Errorf("parseTarget(%q) = address %q, app %q, tcUrl %q, name %q\nwant %q, %q, %q, %q", tt.url,
					net.JoinHostPort(got.Host, got.Port), got.App, got.TCURL, got.Name, tt.address, tt.app, tt.tcURL, tt.publish)
			}
			if got.URL() != tt.url {
				t.Errorf("URL() = %q, want it as given, %q", got.URL(), tt.url)
			}
		})
	}
}

func TestParseTargetUser(t *testing.T) {
	got, err := parseTarget("rtmp://na%40me:p%2F%3A%25%C3%A4@h/live", "s", naming{})
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
		"rtmp://h/live/" + strings.Repeat("k", 60_000), "rtmp://[nonsense]/live", "rtmp://bücher.example/live", "rtmp://u%zz@h/live", "rtmp://h/li ve", "rtmp://h/li\nve",
	} {
		_, err := parseTarget(url, "s", naming{})
		var bad *RequestError
		if !errors.As(err, &bad) || bad.Field != "rtmpUrl" || bad.Reason == "" {
			t.Errorf("parseTarget(%q) = %v, want a RequestError on rtmpUrl", url, err)
		}
	}
}

// A full URL without a name to publish under is refused, and the text says what is missing.
func TestParseTargetWithoutName(t *testing.T) {
	for _, url := range []string{
		"rtmp://h", "rtmp://h/", "rtmp://h/live/", "rtmp://h/live2/KEY/", "rtmp://h/live2?backup=1/", "rtmp://h?a=b", "rtmp://h/?a=b",
		"rtmp://h/live/?a=b/", "rtmp://h/live//",
	} {
		for _, bySetting := range []bool{false, true} {
			_, err := parseTarget(url, "s", naming{Prefix: "rtmp_", FullURL: true, Parameters: bySetting})
			var bad *RequestError
			if bySetting && isParameters(url[len("rtmp://h"):]) {
				continue
			}
			if !errors.As(err, &bad) || bad.Field != "rtmpUrl" || !strings.Contains(bad.Reason, "name") {
				t.Errorf("parseTarget(%q), by setting %v = %v, want a RequestError on rtmpUrl", url, bySetting, err)
			}
		}
	}
}

// A canary in each place where a URL can contain a secret must not appear in any printed form, nor in an error.
func TestTargetKeepsSecrets(t *testing.T) {
	for _, url := range []string{
		"rtmp://CANARY:CANARY@h/live",
		"rtmp://h/live/CANARY",
		"rtmp://h/live?CANARY",
		"rtmp://h/live/?k=CANARY",
		"rtmps://h/app/inst/CANARY?t=CANARY",
		"rtmp://h/app?t=CANARY/CANARY",
		"rtmp://h/app/?t=CANARY/CANARY",
		"rtmp://h/app/mp4:CANARY/CANARY",
		"rtmp://user:CANARY/CANARY@h/live",
		"rtmp://user:1/CANARY@h/live",
		"rtmp://user:%CANARY@h/live",
		"rtmp://h:CANARY/live",
	} {
		for _, full := range []bool{false, true} {
			target, err := parseTarget(url, "s", naming{FullURL: full})
			if strings.Contains(target.Name, "CANARY") && !target.SecretName {
				t.Errorf("parseTarget(%q), full URL %v: the name may be shown", url, full)
			}
			for _, printed := range []string{
				fmt.Sprint(err), target.String(), fmt.Sprintf("%v %+v %#v %s", target, target, target, target), target.LogValue().String(),
			} {
				if strings.Contains(printed, "CANARY") {
					t.Errorf("parseTarget(%q), full URL %v, prints %q", url, full, printed)
				}
			}
		}
	}
}

func TestTargetKey(t *testing.T) {
	key := func(url string) string {
		target, err := parseTarget(url, "s", naming{Prefix: "rtmp_"})
		if err != nil {
			t.Fatal(err)
		}
		return target.key()
	}
	same := []string{
		"rtmp://host/live", "RTMP://HOST/live", "rtmp://host:1935/live", "rtmp://host:1935/live/", "rtmp://host:01935/live",
		"rtmp://host./live", "rtmp://host:/live",
	}
	if key("rtmp://[::1]/live") != key("rtmp://[0:0::1]:1935/live") {
		t.Error("two spellings of ::1 are one address")
	}
	for _, url := range same {
		if key(url) != key(same[0]) {
			t.Errorf("%q and %q are one address", url, same[0])
		}
	}
	for _, url := range []string{"rtmps://host/live", "rtmp://host:1936/live", "rtmp://host/Live", "rtmp://u@host/live", "rtmp://host/live/2", "rtmp://host/live?backup=1"} {
		if key(url) == key(same[0]) {
			t.Errorf("%q and %q are two addresses", url, same[0])
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	f.Add("rtmp://u:p@h:1935/live/key?token=t", "s", true)
	f.Add("rtmp://[::1]/live/?a", "s", false)
	f.Fuzz(func(t *testing.T, url, name string, full bool) {
		target, err := parseTarget(url, name, naming{Prefix: "rtmp_", FullURL: full})
		if err != nil {
			return
		}
		if full && target.Name == "" {
			t.Errorf("parseTarget(%q) has no name: %#v", url, target)
		}
		if target.Host == "" || target.Port == "" || target.URL() != url || strings.Contains(target.TCURL, "@") && !strings.Contains(target.App, "@") {
			t.Errorf("parseTarget(%q) = %#v", url, target)
		}
	})
}
