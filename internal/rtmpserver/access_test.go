package rtmpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/auth"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
	"transponder/internal/testkit"
)

var _ Access = (*auth.Authenticator)(nil)

// TestParseRequest: where clients put the name, the application and the token.
func TestParseRequest(t *testing.T) {
	for _, c := range []struct{ app, key, wantApp, name, token string }{
		{"live", "cam", "live", "cam", ""},
		{"live", "cam?token=T", "live", "cam", "T"},
		{"live", "cam?a=b&token=T&c=d", "live", "cam", "T"},
		{"live?token=T", "cam", "live", "cam", "T"},
		{"live?token=A", "cam?token=K", "live", "cam", "K"},
		{"live?token=A", "cam?mytoken=K", "live", "cam", "A"},
		{"live/cam?token=T", "", "live", "cam", "T"},
		{"live/cam", "?token=T", "live", "cam", "T"},
		{"live", "tpk_abc", "live", "", "tpk_abc"},
		{"live", "/tpk_abc/", "live", "", "tpk_abc"},
		{"live/tpk_abc", "", "live", "", "tpk_abc"},
		{"live", "tpk_abc?x=y", "live", "", "tpk_abc"},
		{"live?token=T", "tpk_abc", "live", "", "T"},
		{"live", "cam?token=tpk_abc", "live", "cam", "tpk_abc"},
		{"live", "cam?token=a%2Eb+c", "live", "cam", "a.b+c"},
		{"live", "cam?token=a%zz", "live", "cam", "a%zz"},
		{"live", "cam?token=", "live", "cam", ""},
		{"", "cam", "", "cam", ""},
	} {
		got := parseRequest(c.app, c.key)
		if got.app != c.wantApp || got.name != c.name || got.token != c.token {
			t.Errorf("parseRequest(%q, %q) = app %q, name %q, token %q; want %q, %q, %q", c.app, c.key, got.app, got.name, got.token, c.wantApp, c.name, c.token)
		}
	}
}

// Whatever a client sends, the name of its stream has no token and no stored key in it.
func FuzzParseRequest(f *testing.F) {
	f.Add("live?token=a.b.c", "cam?token=d.e.f")
	f.Add("live/tpk_x", "?token=%41")
	f.Add("a/b/", "/tpk_y?")
	f.Fuzz(func(t *testing.T, app, key string) {
		r := parseRequest(app, key)
		if strings.Contains(r.name, "?") || strings.HasPrefix(r.name, access.KeyPrefix) || strings.Contains(r.app, "?") {
			t.Errorf("parseRequest(%q, %q) = app %q, name %q", app, key, r.app, r.name)
		}
	})
}

// tokens are principals by their tokens.
type tokens map[string]*access.Principal

func (k tokens) Verify(_ context.Context, c access.Credential) (*access.Principal, error) {
	if p, ok := k[c.Token]; ok {
		return p, nil
	}
	if c.Token == "old" {
		return nil, &access.BadCredential{Detail: "the token expired 40 s ago"}
	}
	return nil, &access.BadCredential{}
}

func may(stream string, actions ...access.Action) []access.Grant {
	return []access.Grant{{Actions: actions, Streams: []string{stream}}}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// runDesk runs a server that knows some tokens and lets nobody in without one. It returns the log of the server, too.
func runDesk(t *testing.T, known tokens) (s *Server, hub *stream.Hub, leases *access.Leases, log *lines) {
	t.Helper()
	hub, leases, log = stream.NewHub(stream.DefaultConfig(), nil), access.NewLeases(), &lines{}
	s = runServerWith(t, Parts{
		Hub: hub, Audio: ownAudio{}, Origins: noOrigins{},
		Access: auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: known, Leases: leases, Quotas: access.NewQuotas()}, slog.New(slog.DiscardHandler)),
	}, nil, slog.New(slog.NewTextHandler(log, nil)))
	return s, hub, leases, log
}

// TestDoor: who may publish, and what the others are told. The answers do not depend on whether the name is taken.
func TestDoor(t *testing.T) {
	t.Parallel()
	const secret = "tpk_abcdefghijklmnop"
	s, hub, _, log := runDesk(t, tokens{
		"right.right.right": {Kind: access.Token, Subject: "a", Grants: may("acme/*", access.Publish)},
		"play":              {Kind: access.Token, Subject: "b", Grants: may("acme/*", access.Play)},
		secret:              {Kind: access.Key, ID: "k1", Stream: "acme/box", Grants: may("acme/*", access.Publish)},
		secret + "2":        {Kind: access.Key, ID: "k2", Grants: may("acme/*", access.Publish)},
		"one":               {Kind: access.Token, Subject: "c", Grants: may("*", access.Publish), Limits: access.Limits{Publishers: 1}},
	})
	const stranger = "a valid token, key or password is needed"
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, tt := range []struct {
		name, key string
		says      string // "": granted
		stream    string
		slow      bool
	}{
		{"right", "acme/live?token=right.right.right", "", "acme/live", false},
		{"no token", "acme/a", stranger, "", true},
		{"no token, a name that is taken", "acme/live", stranger, "", true},
		{"garbage", "acme/a?token=garbage", stranger, "", true},
		{"expired", "acme/a?token=old", "expired 40 s ago", "", true},
		{"another stream", "beta/a?token=right.right.right", `stream "beta/a" is not among acme/*`, "", true},
		{"a player's token", "acme/live?token=play", "publish", "", true},
		{"a key as the name", secret, "", "acme/box", false},
		{"a key names its stream, whatever the client says", "acme/other?token=" + secret, "in use", "", false},
		{"a key without a stream, as the name", secret + "2", "belongs to no stream", "", true},
		{"a key without a stream, as token", "acme/free?token=" + secret + "2", "", "acme/free", false},
		{"an unknown key as the name", "tpk_unknown", stranger, "", true},
		{"one publisher", "one?token=one", "", "one", false},
		{"one publisher too many", "two?token=one", "limit of 1 publishers", "", false},
	} {
		asked := time.Now()
		_, _, err := publisher(t, s, tt.key)
		var refused *rtmp.StatusError
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.says != "" && (!errors.As(err, &refused) || refused.Code != "NetStream.Publish.BadName" || !strings.Contains(refused.Description, tt.says)):
			t.Errorf("%s: %v, want BadName with %q", tt.name, err, tt.says)
		}
		if took := time.Since(asked); tt.says != "in use" && (took >= refusalPause) != tt.slow { // else it waits whether the old publisher still sends
			t.Errorf("%s: answered after %v", tt.name, took)
		}
		if _, ok := hub.Source(tt.stream); tt.stream != "" && !ok {
			t.Errorf("%s: there is no stream %s", tt.name, tt.stream)
		}
	}
	if n := len(hub.Sources()); n != 4 {
		t.Errorf("%d streams, want 4", n)
	}
	for _, canary := range []string{secret, "right.right", "garbage", "tpk_unknown"} {
		if strings.Contains(log.String(), canary) {
			t.Errorf("%s is in the log:\n%s", canary, log.String())
		}
	}
}

// TestPlayDoor: whoever may not play a stream gets one answer for all names.
func TestPlayDoor(t *testing.T) {
	t.Parallel()
	s, _, _, _ := runDesk(t, tokens{
		"right": {Kind: access.Token, Subject: "a", Grants: may("acme/*", access.Publish)}, "play": {Kind: access.Token, Subject: "b", Grants: may("acme/*", access.Play)},
	})
	if _, _, err := publisher(t, s, "acme/live?token=right"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"acme/live": "a valid token", "acme/nothing": "a valid token", "acme/live?token=right": "play", "acme/nothing?token=right": "play", "beta/a?token=play": "not among",
	} {
		out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "verbose", "rtmp://"+s.Addr().String()+"/live/"+name).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %q in %s", name, err, want, out)
		}
	}
}

// A publisher and a player end within a second when their principals lose their rights, also a player that takes nothing any more.
func TestRevoked(t *testing.T) {
	t.Parallel()
	sender := &access.Principal{Kind: access.Token, Subject: "a", Grants: may("*", access.Publish), Limits: access.Limits{Publishers: 1}}
	viewer := &access.Principal{Kind: access.Token, Subject: "b", Grants: may("*", access.Play)}
	s, hub, leases, _ := runDesk(t, tokens{"send": sender, "watch": viewer})
	url := fmt.Sprintf("rtmp://%s/live/show?token=", s.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	command := func(name string, args ...string) (wait func() time.Time) {
		cmd := exec.CommandContext(ctx, name, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait = sync.OnceValue(func() time.Time {
			_ = cmd.Wait()
			return time.Now()
		})
		t.Cleanup(func() {
			cancel()
			wait()
		})
		return wait
	}
	published := command("ffmpeg", append(strings.Fields("-re "+testSources+"-t 60 -c:v libx264 -preset ultrafast -g 25 -c:a aac -f flv"), url+"send")...)
	played := command("ffmpeg", "-loglevel", "error", "-i", url+"watch", "-c", "copy", "-f", "null", "-")
	testkit.Eventually(t, 20*time.Second, func() string {
		if st := s.Stats(); st.Publishers != 1 || st.Players != 1 {
			return fmt.Sprintf("%+v", st)
		}
		if src, ok := hub.Source("show"); !ok || src.Video.Stats().Frames < 50 {
			return "the show has not begun"
		}
		return ""
	})
	src, _ := hub.Source("show")
	for i, who := range []*access.Principal{viewer, sender} {
		asked := time.Now()
		if n := leases.End(func(p *access.Principal) bool { return p == who }, access.ErrRevoked); n != 1 {
			t.Fatalf("%d leases of %v, want 1", n, who)
		}
		if who == sender {
			<-src.Done()
		}
		testkit.Eventually(t, time.Second, func() string {
			if st := s.Stats(); who == viewer && st.Players > 0 || who == sender && st.Publishers > 0 {
				return fmt.Sprintf("%v goes on: %+v", who, st)
			}
			return ""
		})
		if took := []func() time.Time{played, published}[i]().Sub(asked); took > 3*time.Second {
			t.Errorf("the program of %v ended after %v", who, took)
		}
	}
	if !errors.Is(src.Err(), access.ErrRevoked) {
		t.Errorf("the stream ended with %v, want it revoked", src.Err())
	}
}
