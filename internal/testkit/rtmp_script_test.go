package testkit_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"transponder/internal/flv"
	"transponder/internal/rtmp"
	"transponder/internal/testkit"
)

// publish connects our client, with the logins it is asked for, and publishes.
func publish(t *testing.T, s *testkit.RTMPServer, cfg rtmp.ClientConfig, login rtmp.Login) (*rtmp.Client, error) {
	t.Helper()
	for {
		address, _, _ := strings.Cut(strings.TrimPrefix(s.URL(""), "rtmp://"), "/")
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		t.Cleanup(func() { nc.Close() })
		c := rtmp.NewClient(nc, cfg)
		for _, step := range []func() error{c.Handshake, c.Connect, c.Publish} {
			if err = step(); err != nil {
				break
			}
		}
		var refused *rtmp.StatusError
		if !errors.As(err, &refused) {
			return c, err
		}
		if cfg.Login, err = login.Next(refused); err != nil {
			return c, err
		}
	}
}

var keyFrame = flv.Tag{Type: flv.TypeVideo, Payload: []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65}}

func TestLogins(t *testing.T) {
	const user, password = "n@me:/%&ä", "p@ss:/%ä"
	for _, scheme := range []string{"adobe", "llnw"} {
		for _, c := range []struct {
			name, app, user, password string
			want                      error
			words                     string
		}{
			{"right", "live", user, password, nil, ""},
			{"right, with a query", "live/?a=b", user, password, nil, ""},
			{"right, with an instance", "live/one", user, password, nil, ""},
			{"wrong password", "live", user, "other", rtmp.ErrLoginRefused, "password"},
			{"wrong name", "live", "other", password, rtmp.ErrLoginRefused, "name"},
			{"none", "live", "", "", rtmp.ErrLoginRefused, "rtmp://name:password@"},
		} {
			t.Run(scheme+" "+c.name, func(t *testing.T) {
				t.Parallel()
				s := testkit.NewRTMPServer(t, testkit.Script{
					Login: testkit.Login{Scheme: scheme, User: user, Password: password},
				})
				_, err := publish(t, s, rtmp.ClientConfig{App: c.app, TCURL: s.URL(c.app), StreamName: "n"},
					rtmp.Login{User: c.user, Password: c.password, App: c.app})
				if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.words) {
					t.Errorf("got %v, want %v with %q", err, c.want, c.words)
				}
			})
		}
	}
}

// TestManners publishes to servers that do nothing wrong, each in its way.
func TestManners(t *testing.T) {
	released := make(chan struct{})
	close(released)
	for name, script := range map[string]testkit.Script{
		"friendly":       {},
		"large chunks":   {ChunkSize: 65536},
		"tiny chunks":    {ChunkSize: 1},
		"odd chunks":     {ChunkSize: 7, SplitSent: true},
		"byte by byte":   {SplitSent: true},
		"late connect":   {At: "connect", Do: testkit.AnswerLate, Release: released},
		"late publish":   {At: "publish", Do: testkit.AnswerLate, Release: released},
		"late handshake": {At: "accept", Do: testkit.AnswerLate, Release: released},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewRTMPServer(t, script)
			c, err := publish(t, s, rtmp.ClientConfig{App: "live", StreamName: "n"}, rtmp.Login{})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.WriteTags([]flv.Tag{keyFrame}); err != nil {
				t.Fatal(err)
			}
			s.Wait(t, "key frame", func() bool { return len(s.Tags()) == 1 && s.Tags()[0].Key })
			want := []string{"connect('live')", "releaseStream('n')", "FCPublish('n')", "createStream()", "publish('n')"}
			if got := s.Calls(); !slices.Equal(got, want) {
				t.Errorf("calls %q, want %q", got, want)
			}
		})
	}
}

// TestMisdeeds sees that each takes place, and at its step.
func TestMisdeeds(t *testing.T) {
	for _, c := range []struct {
		name   string
		script testkit.Script
		want   string // in the error
		live   bool
	}{
		{"closes after the handshake", testkit.Script{At: "handshake", Do: testkit.HangUp}, "connect", false},
		{"closes at createStream", testkit.Script{At: "createStream", Do: testkit.HangUp}, "EOF", false},
		{"refuses once", testkit.Script{At: "publish", Do: testkit.HangUp, Times: 1}, "EOF", false},
		{"garbage while live", testkit.Script{At: "media", Do: testkit.TalkNonsense}, "protocol error", true},
		{"wants another connection", testkit.Script{At: "media", Do: testkit.AskReconnect, NewURL: "rtmp://h/x"}, "to rtmp://h/x", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewRTMPServer(t, c.script)
			client, err := publish(t, s, rtmp.ClientConfig{App: "live", StreamName: "n", Reconnect: true}, rtmp.Login{})
			if c.live != (err == nil) {
				t.Fatalf("publish: %v", err)
			}
			if c.live {
				if err := client.WriteTags([]flv.Tag{keyFrame}); err != nil {
					t.Fatal(err)
				}
				err = client.Serve()
				if again, ok := err.(*rtmp.ReconnectError); ok {
					err = errors.New("to " + again.TCURL)
				}
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if c.script.Times == 1 {
				if _, err := publish(t, s, rtmp.ClientConfig{App: "live", StreamName: "n"}, rtmp.Login{}); err != nil {
					t.Errorf("the second connection: %v", err)
				}
			}
		})
	}
}

func TestOfferedCodecs(t *testing.T) {
	s := testkit.NewRTMPServer(t, testkit.Script{FourCC: []string{"av01", "Opus"}})
	c, err := publish(t, s, rtmp.ClientConfig{App: "live", StreamName: "n", FourCC: []string{"av01"}}, rtmp.Login{})
	if err != nil || !c.Offers("av01") || !c.Offers("Opus") || c.Offers("hvc1") {
		t.Fatalf("offers of av01 %v, Opus %v, hvc1 %v, %v", c.Offers("av01"), c.Offers("Opus"), c.Offers("hvc1"), err)
	}
	if err := c.WriteTags([]flv.Tag{{Type: flv.TypeVideo, Payload: []byte("\x91av01\x12\x00")}}); err != nil {
		t.Fatal(err)
	}
	s.Wait(t, "frame", func() bool { return len(s.Tags()) == 1 && s.Tags()[0].FourCC == "av01" })
}

func TestAcknowledgements(t *testing.T) {
	for name, c := range map[string]struct {
		script testkit.Script
		acked  bool
	}{
		"sent":    {testkit.Script{}, true},
		"stopped": {testkit.Script{At: "connect", Do: testkit.StopAcking}, false},
		"none":    {testkit.Script{Ack: func(int, uint32) (uint32, bool) { return 0, false }}, false},
		"absurd":  {testkit.Script{Ack: func(int, uint32) (uint32, bool) { return 1 << 30, true }}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewRTMPServer(t, c.script)
			client, err := publish(t, s, rtmp.ClientConfig{App: "live", StreamName: "n"}, rtmp.Login{})
			if err != nil {
				t.Fatal(err)
			}
			large := make([]byte, 1<<20) // two of the client's windows
			copy(large, keyFrame.Payload)
			if err := client.WriteTags([]flv.Tag{{Type: flv.TypeVideo, Payload: large}, keyFrame}); err != nil {
				t.Fatal(err)
			}
			s.Wait(t, "second frame", func() bool { return len(s.Tags()) == 2 })
			s.Kick()
			_ = client.Serve() // reads what is there, to the connection's end
			if got := client.BytesAcked() > 0; got != c.acked {
				t.Errorf("%d bytes were acknowledged", client.BytesAcked())
			}
		})
	}
}
