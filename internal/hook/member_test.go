package hook

import (
	"testing"

	"transponder/internal/access"
)

// The rate of an app's publishers holds for whom its backend has admitted, and for its own tokens; a token with less keeps to less.
func TestRateOfMembers(t *testing.T) {
	app := &App{Name: "shop", Key: "shop", URL: "http://127.0.0.1:1/", Source: "state", Limits: access.Limits{BitrateKbps: 4000}}
	own := func(app string, rate int) *access.Principal {
		return &access.Principal{Kind: access.Token, Subject: "a", App: app, Limits: access.Limits{BitrateKbps: rate}}
	}
	for _, c := range []struct {
		name string
		p    *access.Principal
		want int
	}{
		{"a stranger", access.Nobody(), 4000},
		{"a token of the app", own("shop", 0), 4000},
		{"a token without an app", own("", 0), 4000},
		{"a slower token", own("shop", 1000), 1000},
		{"a faster token", own("shop", 9000), 4000},
		{"a token of another app", own("other", 0), 0},
	} {
		before := *c.p
		if got := admitted(app, c.p, true).Limits.BitrateKbps; got != c.want {
			t.Errorf("%s: %d kbit/s, want %d", c.name, got, c.want)
		}
		if c.p.Limits != before.Limits || c.p.App != before.App {
			t.Errorf("%s: the principal was changed", c.name)
		}
	}
}
