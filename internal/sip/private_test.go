package sip

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"transponder/internal/access"
	"transponder/internal/sip/dialog"
	"transponder/internal/sip/line"
)

// Whoever may not push into private networks names no SIP server there either, by its address or by a name that leads there, over REST or on a
// page, for a call or for a registration. No message goes there. Servers that the settings name are for everybody who may call.
func TestPrivateServers(t *testing.T) {
	everything := []access.Grant{{Actions: []access.Action{access.Control, access.Play, access.Publish}, Streams: []string{"*"}}}
	token := &access.Principal{Kind: access.Token, Subject: "ann", Grants: everything}
	for _, tt := range []struct {
		name   string
		by     *access.Principal
		server string
		change func(*Config)
		want   bool
	}{
		{"a token, a private address", token, "10.0.0.1", nil, false},
		{"a token, this machine", token, "127.0.0.1", nil, false},
		{"a token, a private address within IPv6", token, "[::ffff:10.0.0.1]", nil, false},
		{"a token, a name that leads inside", token, "pbx.example", nil, false},
		{"an operator", &access.Principal{Kind: access.User, Subject: "otto", Grants: everything}, "10.0.0.1", nil, false},
		{"nobody", access.Nobody(), "pbx.example", nil, false},
		{"a token, outside", token, "192.0.2.1", nil, true},
		{"an administrator", access.Whole(access.User), "pbx.example", nil, true},
		{"this machine", access.Whole(access.Local), "10.0.0.1", nil, true},
		{"the server", nil, "10.0.0.1", nil, true},
		{"a token, the domain of the settings", token, "pbx.example", func(c *Config) { c.Domain = "pbx.example" }, true},
		{"a token, the proxy of the settings", token, "10.0.0.1", func(c *Config) { c.OutboundProxy = "10.0.0.1:5070;transport=tcp" }, true},
		{"a token, another than the proxy of the settings", token, "10.0.0.2", func(c *Config) { c.OutboundProxy = "10.0.0.1" }, false},
		{"a token, a list of servers", token, "10.0.0.1", func(c *Config) { c.AllowedHosts = []string{"10.0.0.0/8"} }, true},
	} {
		for _, door := range []string{"REST", "page", "registration", "REST with a registration"} {
			t.Run(tt.name+"/"+door, func(t *testing.T) {
				inLab(t, tt.change, func(l lab) {
					if !strings.HasPrefix(tt.server, "192.") {
						l.line.way = line.Path{Transport: "udp", Remote: netip.MustParseAddrPort("10.0.0.1:5060"), Local: netip.MustParseAddr("192.0.2.9")}
					}
					a := Account{Login: "ann", Domain: tt.server, OutboundProxy: tt.server, Register: strings.Contains(door, "registration")}
					var err error
					switch door {
					case "REST", "REST with a registration":
						err = l.Start(t.Context(), Request{CallID: "c", Callee: "sip:bob@" + tt.server, Account: a, Audio: true, By: tt.by})
					default:
						p := &page{}
						if p.Phone, err = l.Open(t.Context(), a, Page{By: tt.by}, p); err == nil && door == "page" {
							err = p.Call(t.Context(), PageCall{CallID: "c", Callee: "sip:bob@" + tt.server, Audio: true})
						}
					}
					if err != nil && !errors.Is(err, ErrPolicy) {
						t.Fatal(err)
					}
					synctest.Wait()
					sent := l.line.count("INVITE") + l.line.count("REGISTER")
					if (sent > 0) != tt.want {
						t.Errorf("%d messages went out, %v", sent, err)
					}
					if found := l.Find(Filter{CallID: "c"}); !tt.want && len(found) > 0 && (found[0].Status != dialog.Failed || found[0].Reason != dialog.ReasonPolicy) && !a.Register {
						t.Errorf("the call is %+v", found[0])
					}
				})
			})
		}
	}
}
