package auth

import (
	"strings"
	"testing"

	"transponder/internal/access"
	"transponder/internal/guard"
)

// The report agrees with what the settings allow: for each client, the actions that are allowed without a credential.
func TestReport(t *testing.T) {
	named, err := guard.ParseOrigins("https://studio.example")
	if err != nil {
		t.Fatal(err)
	}
	every, err := guard.ParseOrigins("*")
	if err != nil {
		t.Fatal(err)
	}
	const all = "publish play push read control admin"
	for _, tt := range []struct {
		name  string
		cfg   Config
		pages guard.Origins
		want  map[string]string
	}{
		{"default", Config{Mode: Auto}, guard.Origins{}, map[string]string{local: all, stranger: "", foreignPage: ""}},
		{"named page", Config{Mode: Auto}, named, map[string]string{local: all, stranger: "", foreignPage: "", namedPage: "push read control admin"}},
		{"closed", Config{Mode: Closed}, every, map[string]string{local: "", stranger: "", foreignPage: ""}},
		{"open", Config{Mode: Open}, guard.Origins{}, map[string]string{local: all, stranger: all, foreignPage: "publish play push"}},
		{"open for every page", Config{Mode: Open}, every, map[string]string{local: all, stranger: all, foreignPage: all}},
		{"vendor's REST", Config{Mode: Auto, REST: RESTOpen}, guard.Origins{}, map[string]string{local: all, stranger: "push read control admin", foreignPage: ""}},
		{"passwords for REST", Config{Mode: Auto, REST: RESTClosed}, guard.Origins{}, map[string]string{local: "publish play push read", stranger: "", foreignPage: ""}},
		{"strangers who play", Config{Mode: Auto, Anonymous: []access.Action{access.Play}}, guard.Origins{}, map[string]string{local: all, stranger: "play", foreignPage: "play"}},
		{"WHIP's token", Config{Mode: Open, WHIPToken: "t"}, guard.Origins{}, map[string]string{local: all, stranger: all, foreignPage: "publish play push"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := New(tt.cfg, Parts{Pages: tt.pages}, discard).Report()
			got := map[string][]string{}
			for _, w := range r.Who {
				if got[w.Who] == nil {
					got[w.Who] = []string{}
				}
				if w.Allowed {
					got[w.Who] = append(got[w.Who], string(w.Action))
				}
				if w.Words == "" {
					t.Errorf("%+v says nothing", w)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("it tells of %v", got)
			}
			for who, want := range tt.want {
				if g := strings.Join(got[who], " "); g != want {
					t.Errorf("a %s may %q, want %q", who, g, want)
				}
			}
			if may := r.StrangerMay(access.Push); may != strings.Contains(tt.want[stranger], "push") {
				t.Errorf("a stranger may push: %v", may)
			}
		})
	}
}

func TestReportOfPeople(t *testing.T) {
	r := New(DefaultConfig(), Parts{}, discard).Report(
		Somebody{"user ann", &access.Principal{Kind: access.User, Grants: access.Operator.Grants([]string{"b/*", "a/*"})}},
		Somebody{"user bob", access.Whole(access.User)},
		Somebody{"key x", &access.Principal{Kind: access.Key, Grants: []access.Grant{
			{Actions: []access.Action{access.Publish}, Streams: []string{"cam"}},
			{Actions: []access.Action{access.Push}, Streams: []string{"cam"}},
		}}},
	)
	words := map[string]string{}
	for _, w := range r.Who {
		words[w.Who+" "+string(w.Action)] = w.Words
		if !strings.HasPrefix(w.Who, "user ") && !strings.HasPrefix(w.Who, "key ") {
			continue
		}
		if w.Allowed == (w.Words == "no grant") {
			t.Errorf("%+v contradicts itself", w)
		}
	}
	for what, want := range map[string]string{
		"user ann push": "the streams a/*, b/*, to destination://*", "user ann admin": "no grant", "user ann read": "the streams a/*, b/*",
		"user bob push": "all streams", "user bob admin": "all streams",
		"key x publish": "the streams cam", "key x push": "no grant", "key x play": "no grant",
	} {
		if words[what] != want {
			t.Errorf("%s: %q, want %q", what, words[what], want)
		}
	}
}

func TestTable(t *testing.T) {
	table := func(cfg Config) string {
		var text strings.Builder
		for _, l := range New(cfg, Parts{}, discard).Table("rest", "websocket", "whip", "rtmp") {
			text.WriteString(l.Door + ": " + l.Here + " | " + l.Elsewhere + "\n")
		}
		return text.String()
	}
	if got, want := table(Config{Mode: Auto, Anonymous: []access.Action{access.Play}, WHIPToken: "t"}), `REST: everything | only with a credential
the Web SDK: everything | play
WHIP: only with a credential | only with a credential
RTMP: everything | play
`; got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}
