package transponder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"transponder/internal/access"
	"transponder/internal/destination"
	"transponder/internal/state"
	"transponder/internal/testkit"
)

// destinations returns a real store with some destinations. Those without Streams are for all.
func destinations(t *testing.T, all ...destination.Destination) *destination.Store {
	t.Helper()
	keeper, err := state.Memory(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keeper.Close() })
	store := destination.New(keeper, keeper.Sealer())
	for _, d := range all {
		if d.Streams == nil {
			d.Streams = []string{"*"}
		}
		if err := store.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

// stranger has a token with grants.
func stranger(grants ...access.Grant) *access.Principal {
	return &access.Principal{Kind: access.Token, Subject: "anna", Grants: grants}
}

// TestDestination holds that a push to a destination goes to the address with the key, and that the key shows nowhere: not in what is known
// of the push, its events, its log, nor by looking for it.
func TestDestination(t *testing.T) {
	const canary = "abcd-canary-key"
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	full := true
	b.parts.Destinations = destinations(t,
		destination.Destination{Name: "tube", URL: access.Secret(server.URL("live2/" + canary)), FullURL: &full, FlashVersion: "own/1"},
		destination.Destination{Name: "acme", URL: "rtmp://192.0.2.1/live", App: "acme"},
		destination.Destination{Name: "stage", URL: "rtmp://192.0.2.1/live", Streams: []string{"stage-*"}},
		destination.Destination{Name: "bad", URL: access.Secret("http://" + canary)},
	)
	s := b.source("s")
	info := b.start(Request{StreamName: "s", URL: "destination://tube", By: stranger()})
	s.live(t, server)
	if got, want := server.Calls(), "publish('"+canary+"')"; !slices.Contains(got, want) {
		t.Errorf("commands %q, want %s", got, want)
	}
	if got := server.Connects()[0]["flashVer"]; got != "own/1" {
		t.Errorf("flashVer %v", got)
	}
	if info.URL != "destination://tube" || info.Destination != "tube" || info.StreamName != "s" || info.SecretName || info.Owner != "token::anna" ||
		!strings.HasSuffix(info.Target, "/live2/***") {
		t.Errorf("info %+v", info)
	}
	b.wait("life", func() bool { s.write(1, 20); return b.Find(Filter{ID: info.ID})[0].State == Live })

	for f, want := range map[Filter]int{
		{URL: "destination://tube"}:             1,
		{URL: "destination://other"}:            0,
		{URL: server.URL("live2/" + canary)}:    0, // nobody finds out a key by asking whether it is used
		{StreamName: canary}:                    0,
		{StreamName: "s"}:                       1,
		{StreamName: "s", URL: server.URL("x")}: 0,
	} {
		if got := b.Find(f); len(got) != want {
			t.Errorf("%+v finds %d pushes, want %d", f, len(got), want)
		}
	}

	// The same address under its own name is the same push.
	if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: server.URL("live2/" + canary), FullURL: &full}); !errors.Is(err, ErrDuplicate) {
		t.Errorf("the same address without its name: %v", err)
	}
	for _, tt := range []struct {
		url  string
		by   *access.Principal
		want string // in the error
	}{
		{"destination://none", nil, `there is no destination "none"`},
		{"destination://", nil, "rtmp:// or rtmps://"},
		{"destination://tube/../x", nil, "there is no destination"},
		{"DESTINATION://tube", nil, "already pushed"},
		{"destination://stage", nil, "is not for the stream"},
		{"destination://acme", &access.Principal{App: "beta"}, `there is no destination "acme"`},
		{"destination://bad", nil, "it must begin with rtmp://"},
	} {
		if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: tt.url, By: tt.by}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.url, err, tt.want)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error has the key: %v", tt.url, err)
		}
	}
	info = b.start(Request{StreamName: "s", URL: "destination://acme", By: &access.Principal{Kind: access.Token, App: "acme"}})
	if err := b.Terminate(t.Context(), info.ID); err != nil {
		t.Fatal(err)
	}
	server.Kick()
	b.wait("end", func() bool { return len(b.History(10)) == 2 })
	b.stop()
	var events [100]Event
	n, _, _ := b.Journal().Since(t.Context(), 0, events[:])
	text, err := events[0].MarshalJSON()
	if err != nil || !strings.Contains(string(text), `"destination":"tube"`) || events[0].Owner != "token::anna" {
		t.Errorf("event %s, %v", text, err)
	}
	for where, text := range map[string]string{
		"history": fmt.Sprintf("%+v %#v", b.History(10), b.History(10)), "events": fmt.Sprintf("%+v", events[:n]), "log": b.log.String(),
	} {
		if strings.Contains(text, canary) {
			t.Errorf("the %s has the key:\n%s", where, text)
		}
	}
}

// TestDestinationOptions holds that a destination's options are for pushes that have none.
func TestDestinationOptions(t *testing.T) {
	b := newBench(t, nil)
	server := testkit.NewRTMPServer(t, testkit.Script{})
	b.parts.Destinations = destinations(t,
		destination.Destination{Name: "muted", URL: access.Secret(server.URL("a")), Options: json.RawMessage(`"mute"`)},
		destination.Destination{Name: "bad", URL: access.Secret(server.URL("b")), Options: json.RawMessage(`"sound_on"`)},
	)
	b.parts.ParseOptions = func(text json.RawMessage) (o Options, err error) { return o, json.Unmarshal(text, &o.Action) }
	b.source("s")
	info := b.start(Request{StreamName: "s", URL: "destination://muted"})
	if !info.Muted || info.Options.Action != "mute" {
		t.Errorf("without options: %+v", info)
	}
	if err := b.Terminate(t.Context(), info.ID); err != nil {
		t.Fatal(err)
	}
	info = b.start(Request{StreamName: "s", URL: "destination://muted", Options: Options{OnSourceLoss: "end"}})
	if info.Muted || info.Options.OnSourceLoss != "end" {
		t.Errorf("with options: %+v", info)
	}
	// Options that cannot be used any more are refused as those of a request are.
	if _, err := b.Start(t.Context(), Request{StreamName: "s", URL: "destination://bad"}); err == nil || !strings.Contains(err.Error(), "options.soundFile") {
		t.Errorf("with bad options: %v", err)
	}
}

// TestInside holds that a private address is dialled only for those who may, and that a server outside sends nobody there.
func TestInside(t *testing.T) {
	server := testkit.NewRTMPServer(t, testkit.Script{})
	local, _, _ := strings.Cut(strings.TrimPrefix(server.URL(""), "rtmp://"), "/")
	push := func(urls ...string) access.Grant {
		return access.Grant{Actions: []access.Action{access.Push}, Streams: []string{"*"}, URLs: urls}
	}
	for _, tt := range []struct {
		name string
		by   *access.Principal
		host string
		may  bool
	}{
		{"the server itself", nil, local, true},
		{"local", access.Whole(access.Local), local, true},
		{"an administrator", access.Whole(access.User), local, true},
		{"a token for every address", stranger(push("*")), local, false},
		{"a token for a pattern", stranger(push("rtmp://*/live")), local, false},
		{"a token that names the host", stranger(push("rtmp://" + local + "/*")), local, true},
		{"a name that points inside", stranger(push("*")), "inside.test:1935", false},
		{"a name that the token has", stranger(push("rtmp://inside.test:1935/*")), "inside.test:1935", true},
		{"an operator", &access.Principal{Kind: access.User, Grants: []access.Grant{
			{Actions: []access.Action{access.Control, access.Push}, Streams: []string{"*"}, URLs: []string{"*"}},
		}}, local, false},
		{"nobody", access.Nobody(), local, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, func(c *Config) {
				c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
					return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
				}
			})
			b.source("s")
			info, err := b.Start(t.Context(), Request{StreamName: "s", URL: "rtmp://" + tt.host + "/live", By: tt.by})
			if (err == nil) != tt.may {
				t.Errorf("start: %v", err)
			}
			if err != nil {
				if _, ok := errors.AsType[*RequestError](err); !ok || !strings.Contains(err.Error(), "does not push to this address") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err := b.Terminate(t.Context(), info.ID); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestSentInside holds that only a server in a private network sends a push into one.
func TestSentInside(t *testing.T) {
	from, err := parseTarget("rtmp://a/live", "s", naming{})
	if err != nil {
		t.Fatal(err)
	}
	for peer, inside := range map[string]bool{"10.0.0.1:1935": true, "127.0.0.1:1935": true, "192.0.2.1:1935": false, "[2001:db8::1]:1935": false} {
		to, err := redirected(from, netip.MustParseAddrPort(peer), "rtmp://10.0.0.2/live")
		if err != nil {
			t.Fatal(err)
		}
		_, err = (Config{}).locate(t.Context(), to)
		if (err == nil) != inside {
			t.Errorf("sent to a private address by %s: %v", peer, err)
		}
		// And it is not forgotten on the way.
		if to, err = redirected(to, netip.MustParseAddrPort("127.0.0.1:1935"), "rtmp://10.0.0.3/live"); err != nil {
			t.Fatal(err)
		}
		if _, err = (Config{}).locate(t.Context(), to); (err == nil) != inside {
			t.Errorf("sent on by a server to which %s has sent us: %v", peer, err)
		}
	}
}

// TestForwardedName holds that a server cannot show the key of a destination by sending the push on to an address that holds it.
func TestForwardedName(t *testing.T) {
	from, err := parseTarget("rtmp://a/live/Canary-Key", "s", naming{FullURL: true})
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{
		"rtmp://b:19/Canary-Key/x":    "rtmp://b:19/***",
		"rtmp://canary-key.evil/live": "rtmp://***",
		"rtmps://b/live":              "rtmps://b/***",
		"":                            "rtmp://a/live/***",
	} {
		from.Destination = "tube"
		target, err := redirected(from, netip.MustParseAddrPort("192.0.2.1:1935"), to)
		if err != nil {
			t.Fatal(err)
		}
		if got := target.String(); got != want {
			t.Errorf("sent on to %q: %q, want %q", to, got, want)
		}
	}
}

func TestPushObject(t *testing.T) {
	for url, want := range map[string]access.Object{
		"destination://tube":                        {Destination: "tube"},
		"Destination://tube/":                       {Destination: "tube"},
		"rtmp://Host.Example/live/key?a=b":          {URL: "rtmp://host.example:1935/live/key?a=b"},
		"RTMPS://user:pass@host.example./live":      {URL: "rtmps://host.example:443/live"},
		"rtmp://host:01935":                         {URL: "rtmp://host:1935/"},
		"rtmp://host?x=1":                           {URL: "rtmp://host:1935/?x=1"},
		"rtmp://[::FFFF:10.0.0.1]/live":             {URL: "rtmp://10.0.0.1:1935/live"},
		"rtmp://[2001:DB8::1]:19/live":              {URL: "rtmp://[2001:db8::1]:19/live"},
		"rtmps://evil/.example.com/":                {URL: "rtmps://evil:443/.example.com/"},
		"rtmps://live.example.com@evil.example/app": {URL: "rtmps://evil.example:443/app"},
		"http://host/":                              {URL: "invalid://"},
		"":                                          {URL: "invalid://"},
		"destination://":                            {URL: "invalid://"},
		"destination:///":                           {URL: "invalid://"},
	} {
		want.Stream = "s"
		if got := PushObject("s", url); got != want {
			t.Errorf("%s: %+v, want %+v", url, got, want)
		}
	}
}
