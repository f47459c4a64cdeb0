package access

import (
	"errors"
	"strings"
	"testing"
)

// who returns a principal of kind Token, whose identity is token::subject.
func who(subject string, grants ...Grant) *Principal {
	return &Principal{Kind: Token, Subject: subject, Grants: grants}
}

func grant(actions string, streams ...string) Grant {
	var g Grant
	for a := range strings.FieldsSeq(actions) {
		g.Actions = append(g.Actions, Action(a))
	}
	g.Streams = streams
	return g
}

func (g Grant) to(destinations ...string) Grant { g.Destinations = destinations; return g }
func (g Grant) at(urls ...string) Grant         { g.URLs = urls; return g }

const youtube = "rtmps://a.rtmps.youtube.com:443/live2"

func TestDecide(t *testing.T) {
	named := Object{Stream: "cam", Destination: "yt"}
	addressed := Object{Stream: "cam", URL: youtube}
	mine, theirs := Object{Stream: "cam", Owner: "token::ann"}, Object{Stream: "cam", Owner: "token::bob"}
	cam := Object{Stream: "cam"}
	tests := []struct {
		name   string
		p      *Principal
		a      Action
		o      Object
		denied string // part of the error; "": allowed
	}{
		{"nobody", nil, Play, cam, "needs a credential"},
		{"nobody reads", Nobody(), Read, Object{}, "needs a credential"},
		{"local", Whole(Local), Admin, Object{}, ""},
		{"local pushes anywhere", Whole(Local), Push, addressed, ""},
		{"no grants", who("ann"), Play, cam, "needs a credential"},

		{"the very name", who("ann", grant("publish", "cam")), Publish, cam, ""},
		{"another name", who("ann", grant("publish", "cam")), Publish, Object{Stream: "cam2"}, `stream "cam2" is not among cam`},
		{"another case", who("ann", grant("publish", "cam")), Publish, Object{Stream: "Cam"}, "not among"},
		{"pattern", who("ann", grant("publish", "acme/*")), Publish, Object{Stream: "acme/cam"}, ""},
		{"pattern of another", who("ann", grant("publish", "acme/*")), Publish, Object{Stream: "beta/cam"}, "not among"},
		{"dots are no way out", who("ann", grant("publish", "acme/*")), Publish, Object{Stream: "../beta/cam"}, "not among"},
		{"the name of the pattern's tenant", who("ann", grant("publish", "acme/*")), Publish, Object{Stream: "acme"}, "not among"},
		{"no list of streams", who("ann", grant("publish")), Publish, cam, "no grant to publish"},
		{"second grant", who("ann", grant("play", "x"), grant("play", "cam")), Play, cam, ""},
		{"no stream, some streams", who("ann", grant("read", "cam")), Read, Object{}, "no grant to read"},
		{"no stream, all streams", who("ann", grant("read", "*")), Read, Object{}, ""},
		{"unknown action", who("ann", grant("fly", "*")), Action("fly"), cam, ""}, // Validate refuses it
		{"unknown action allows no other", who("ann", grant("fly", "*")), Publish, cam, "no grant"},

		{"play is not publish", who("ann", grant("play", "*")), Publish, cam, "no grant to publish"},
		{"publish is not play", who("ann", grant("publish", "*")), Play, cam, "no grant to play"},
		{"publish is not push", who("ann", grant("publish", "*").to("*").at("*")), Push, addressed, "no grant to push"},
		{"read is not control", who("ann", grant("read", "*")), Control, cam, "no grant to control"},
		{"control reads", who("ann", grant("control", "*")), Read, cam, ""},
		{"control is not admin", who("ann", grant("control", "*")), Admin, cam, "no grant to admin"},
		{"control does not publish", who("ann", grant("control", "*")), Publish, cam, "no grant to publish"},
		{"admin is everything", who("ann", grant("admin", "*")), Publish, cam, ""},
		{"admin of some", who("ann", grant("admin", "acme/*")), Control, Object{Stream: "acme/cam"}, ""},
		{"admin of some, not of all", who("ann", grant("admin", "acme/*")), Admin, Object{}, "no grant to admin"},
		{"admin of others", who("ann", grant("admin", "acme/*")), Read, cam, "not among"},

		{"push to a destination", who("ann", grant("push", "cam").to("yt")), Push, named, ""},
		{"push to a destination by pattern", who("ann", grant("push", "cam").to("y*")), Push, named, ""},
		{"push to another destination", who("ann", grant("push", "cam").to("fb")), Push, named, `destination "yt"`},
		{"push of another stream", who("ann", grant("push", "dog").to("yt")), Push, named, "not among"},
		{"push to a URL", who("ann", grant("push", "cam").at("rtmps://*.youtube.com:443/*")), Push, addressed, ""},
		{"a destination is no URL", who("ann", grant("push", "cam").at("*")), Push, named, "destination"},
		{"what a destination stands for is no URL of the client's", who("ann", grant("push", "cam").at("*")), Push, Object{Stream: "cam", Destination: "yt", URL: youtube}, "destination"},
		{"a URL is no destination", who("ann", grant("push", "cam").to("*")), Push, addressed, "to this address"},
		{"push without targets", who("ann", grant("push", "cam")), Push, addressed, "to this address"},
		{"streams and targets of two grants are not mixed", who("ann", grant("push", "dog").to("yt"), grant("push", "cam").to("fb")), Push, named, "destination"},
		{"admin pushes anywhere", who("ann", grant("admin", "*")), Push, addressed, ""},
		{"control does not begin a push", who("ann", grant("control", "*")), Push, addressed, "no grant to push"},

		{"own push", who("ann", grant("push", "cam").to("yt")), Push, mine, ""},
		{"other's push", who("ann", grant("push", "cam").to("yt")), Push, theirs, "no grant to push"},
		{"push of nobody known", who("ann", grant("push", "cam").to("*").at("*")), Push, cam, "no grant to push"},
		{"other's push by control", who("ann", grant("control", "cam")), Push, theirs, ""},
		{"own push after the grant is gone", who("ann", grant("play", "cam")), Push, mine, "no grant to push"},
		{"anonymous push has no owner", &Principal{Kind: Anonymous, Grants: []Grant{grant("push", "*").at("*")}}, Push, cam, "no grant"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := Decide(test.p, test.a, test.o)
			if test.denied == "" {
				if err != nil {
					t.Errorf("got %v, want nil", err)
				}
				return
			}
			var d *Denied
			if !errors.As(err, &d) || d.Action != test.a || !strings.Contains(d.Error(), test.denied) {
				t.Errorf("got %v, want a *Denied with %q", err, test.denied)
			}
		})
	}
}

// An error repeats no long name: a client that gives names without end must not fill the log.
func TestDeniedIsShort(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	var many []string
	for range 100 {
		many = append(many, long[:200])
	}
	if n := len(Decide(who("ann", grant("play", many...)), Play, Object{Stream: long}).Error()); n > 300 {
		t.Errorf("the error has %d bytes", n)
	}
}

func TestNamesURL(t *testing.T) {
	inside := Object{Stream: "cam", URL: "rtmp://10.0.0.7:1935/live"}
	for _, test := range []struct {
		pattern string
		want    bool
	}{
		{"rtmp://10.0.0.7:1935/*", true},
		{"rtmp://10.0.0.7/*", true},
		{"rtmp://10.0.0.7:1936/*", false},
		{"rtmp://10.0.0.*:1935/*", false},
		{"*", false},
	} {
		if got := NamesURL(who("ann", grant("push", "cam").at(test.pattern)), inside); got != test.want {
			t.Errorf("%s: %v, want %v", test.pattern, got, test.want)
		}
	}
	if NamesURL(who("ann", grant("push", "dog").at("rtmp://10.0.0.7/*")), inside) || NamesURL(nil, inside) {
		t.Error("a grant for other streams names the URL")
	}
}

func TestIdentity(t *testing.T) {
	for want, p := range map[string]*Principal{
		"":               nil,
		"user::ann":      {Kind: User, Subject: "ann", ID: "session"},
		"token:acme:ann": {Kind: Token, Subject: "ann", App: "acme", ID: "jti"},
		"token:a%3Ab:c":  {Kind: Token, Subject: "c", App: "a:b"},
		"token:a:b:c":    {Kind: Token, Subject: "b:c", App: "a"},
		"token#:jti":     {Kind: Token, ID: "jti"},
		"key#:k1":        {Kind: Key, Subject: "ann", ID: "k1"},
	} {
		if got := p.Identity(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, kind := range []Kind{Local, Anonymous, Hook} {
		if id := (&Principal{Kind: kind, Subject: "x", ID: "y"}).Identity(); id != "" {
			t.Errorf("%s has the identity %q", kind, id)
		}
	}
}

func TestMayTakeOver(t *testing.T) {
	g := grant("publish", "cam*")
	replacing := g
	replacing.Replace = true
	for _, test := range []struct {
		p    *Principal
		want bool
	}{
		{nil, false},
		{who("ann", g), false},
		{who("ann", replacing), true},
		{who("", replacing), false}, // nothing tells her from others
		{Whole(Local), false},
	} {
		if got := test.p.MayTakeOver("cam1"); got != test.want {
			t.Errorf("%v: %v, want %v", test.p, got, test.want)
		}
	}
	if who("ann", replacing).MayTakeOver("dog") {
		t.Error("a grant for cam* takes over dog")
	}
}

func TestMayEvict(t *testing.T) {
	for _, test := range []struct {
		p    *Principal
		want bool
	}{
		{nil, false},
		{Whole(Local), false}, // nothing tells him from others
		{Whole(Anonymous), false},
		{who("ann", grant("publish", "*")), false},
		{who("ann", grant("publish control", "dog")), false},
		{who("ann", grant("publish control", "cam*")), true},
		{who("ann", grant("admin", "*")), true},
	} {
		if got := test.p.MayEvict("cam1"); got != test.want {
			t.Errorf("%v: %v, want %v", test.p, got, test.want)
		}
	}
}

func TestValidateGrants(t *testing.T) {
	for _, test := range []struct {
		g    Grant
		want string
	}{
		{grant("publish play push read control admin", "*").to("*").at("*", "rtmp://h:1/x/*", "rtmps://*.h/*"), ""},
		{grant("fly", "*"), `unknown action "fly"`},
		{grant("play", ""), "streams: a pattern must have"},
		{grant("play", strings.Repeat("x", maxPattern+1)), "streams: a pattern must have"},
		{grant("play", make([]string, maxPatterns+1)...), "more than 256 patterns"},
		{grant("push", "*").at("https://x"), "must look like"},
		{grant("push", "*").at("rtmp:///x"), "must look like"},
		{grant("push", "*").at("live.example.com"), "must look like"},
		{grant("push", "*").at("rtmp://u:p@h/x"), "no user"},
	} {
		err := ValidateGrants([]Grant{test.g})
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%v: %v, want %q", test.g, err, test.want)
		}
	}
	if ValidateGrants(make([]Grant, maxGrants+1)) == nil {
		t.Error("too many grants are taken")
	}
}
