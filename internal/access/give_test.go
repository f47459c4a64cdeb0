package access

import (
	"strings"
	"testing"
)

func TestGive(t *testing.T) {
	operator := who("ann", grant("read control play publish", "acme/*"), grant("push", "acme/*").to("yt-*").at("rtmps://*.example.com/*", "rtmp://10.0.0.7/live"))
	replacing := grant("publish", "acme/cam")
	replacing.Replace = true
	for _, test := range []struct {
		name  string
		g     Grant
		words string // "": she may
	}{
		{"the same", grant("read control play publish", "acme/*"), ""},
		{"less", grant("publish", "acme/cam-*"), ""},
		{"one name", grant("publish", "acme/cam"), ""},
		{"read by control", grant("read", "acme/*"), ""},
		{"all", grant("publish", "*"), "may not give publish on \"*\""},
		{"a wider pattern", grant("publish", "acme*"), "nobody gives more"},
		{"others", grant("publish", "beta/*"), "nobody gives more"},
		{"admin", grant("admin", "acme/*"), "nobody gives more"},
		{"replace", replacing, "replace"},
		{"a destination", grant("push", "acme/cam").to("yt-1", "yt-2"), ""},
		{"destinations", grant("push", "acme/cam").to("yt-1*"), ""},
		{"another destination", grant("push", "acme/cam").to("yt-1", "fb"), `destination "fb"`},
		{"URLs", grant("push", "acme/cam").at("rtmps://*.live.example.com:443/app/*"), ""},
		{"the very URL", grant("push", "acme/cam").at("rtmp://10.0.0.7:1935/live"), ""},
		{"another path", grant("push", "acme/cam").at("rtmp://10.0.0.7:1935/*"), "nobody gives more"},
		{"all URLs", grant("push", "acme/cam").at("*"), "nobody gives more"},
		{"a host that only a pattern allows", grant("push", "acme/cam").at("rtmps://inside.example.com/x"), "without *"},
		{"push without targets", grant("push", "acme/cam"), ""}, // it allows nothing
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Give(operator, []Grant{test.g})
			if test.words == "" && err != nil || test.words != "" && (err == nil || !strings.Contains(err.Error(), test.words)) {
				t.Errorf("%v, want %q", err, test.words)
			}
			if err := Give(Whole(Local), []Grant{test.g}); err != nil {
				t.Errorf("local: %v", err)
			}
			if len(test.g.Actions) > 0 && Give(Nobody(), []Grant{test.g}) == nil {
				t.Error("nobody may give it")
			}
		})
	}
}

// An administrator of some streams may not push into the private networks of the server. So he gives nobody a host that opens them, as a
// pattern without * does.
func TestGiveByAdminOfSomeStreams(t *testing.T) {
	tenant := who("ann", grant("admin", "acme/*"))
	for at, may := range map[string]bool{
		"rtmp://10.0.0.1/*": false, "rtmp://localhost:1935/live/*": false, "rtmps://live.example.com/*": false, "rtmp://*/*": true, "*": true,
	} {
		g := []Grant{grant("push", "acme/cam").at(at)}
		if err := Give(tenant, g); (err == nil) != may {
			t.Errorf("%s: %v", at, err)
		}
		if may && NamesURL(&Principal{Grants: g}, Object{Stream: "acme/cam", URL: "rtmp://10.0.0.1:1935/x"}) {
			t.Errorf("%s opens private networks", at)
		}
	}
}

// Whatever somebody gives, he can do himself.
func FuzzGive(f *testing.F) {
	f.Add("a*", "ab", "d*", "d", "rtmps://*.h/*", "rtmps://x*.h/y", "abc", "d", "rtmps://xy.h:443/y")
	f.Add("*", "*", "*", "*", "*", "rtmp://10.0.0.1/x", "s", "d", "rtmp://10.0.0.1:1935/x")
	f.Add("a*b", "a*b*b", "", "", "rtmp://*/a*", "rtmp://*/*", "ab", "", "rtmp://h:1/a")
	f.Fuzz(func(t *testing.T, ownStreams, streams, ownDestination, destination, ownURL, url, stream, target, address string) {
		if strings.Contains(stream+target+address, "*") {
			return // no name of a stream has it, but the patterns below would differ in what they mean
		}
		own := grant("publish push control", ownStreams).to(ownDestination).at(ownURL)
		given := grant("publish push control", streams).to(destination).at(url)
		by, to := who("ann", own), who("bob", given)
		if Give(by, to.Grants) != nil {
			return
		}
		for _, a := range Actions {
			for _, o := range []Object{{}, {Stream: stream}, {Stream: stream, Destination: target}, {Stream: stream, URL: address}} {
				if Decide(to, a, o) == nil && Decide(by, a, o) != nil {
					t.Errorf("%v gave %v, which allows %s of %v", own, given, a, o)
				}
				if NamesURL(to, o) && !NamesURL(by, o) {
					t.Errorf("%v gave %v, which names %v", own, given, o)
				}
			}
		}
	})
}
