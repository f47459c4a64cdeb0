package rtmp

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/bluenviron/gortmplib"
)

func TestLoginAnswers(t *testing.T) {
	adobe := map[string]string{"salt": "salt==", "challenge": "unused", "opaque": "op+aque=="}
	for _, c := range []struct {
		name, got, want string
	}{ // the digests were made with Python's hashlib
		{
			"adobe", (&Login{User: "user", Password: "pass"}).answerAdobe(adobe, "01234567"),
			"&challenge=01234567&response=QCZEfdmjFifUJcczWQqy6g==&opaque=op+aque==",
		},
		{
			"adobe without salt and opaque",
			(&Login{User: "n@me:/%ä", Password: "p@ss:/%ä"}).answerAdobe(map[string]string{"challenge": "chal"}, "01234567"),
			"&challenge=01234567&response=qFhSn8kGiLLkM5jbEx4k6g==",
		},
		{
			"limelight", (&Login{User: "user", Password: "pass", App: "live/?a=b"}).answerLimelight("NONCE", "89abcdef"),
			"&nonce=NONCE&cnonce=89abcdef&nc=00000001&response=014464c07680120bde52d742731d9043",
		},
		{
			"limelight with an instance",
			(&Login{User: "user", Password: "pass", App: "app/inst"}).answerLimelight("NONCE", "89abcdef"),
			"&nonce=NONCE&cnonce=89abcdef&nc=00000001&response=9453bf6a0f2338d136f13c34940ee1b6",
		},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
}

// The refusals of several makes of server.
const (
	wowzaNeed      = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
	wowzaChallenge = "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=u&salt=c2E=&challenge=Y2g=&opaque=Y2g="
	wowzaFailed    = "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=Y2g="
	akamaiUnknown  = "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=nosuchuser"
	fmsChallenge   = "[ Server.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=u&salt=c2E=&challenge=Y2g="
	shortNeed      = "code=403 need auth; authmod=adobe"
	shortChallenge = "authmod=adobe ?reason=needauth&user=u&salt=s&challenge=c"
	limeNeed       = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : "
	limeChallenge  = "[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=needauth&nonce=bm9u"
	limeFailed     = "[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=authfailed"
)

// TestLogin follows chains of refusals to their end: the beginnings of the queries, then the words of the error.
func TestLogin(t *testing.T) {
	const adobeName, limeName = "authmod=adobe&user=u", "authmod=llnw&user=u"
	for _, c := range []struct {
		name, user string
		refusals   []string
		want       []string
	}{
		{"wowza", "u", []string{wowzaNeed, wowzaChallenge}, []string{adobeName, adobeName + "&challenge="}},
		{"wowza, wrong password", "u", []string{wowzaNeed, wowzaChallenge, wowzaFailed},
			[]string{adobeName, adobeName + "&challenge=", "wrong name or password"}},
		{"akamai, wrong name", "u", []string{wowzaNeed, akamaiUnknown}, []string{adobeName, "does not know the name"}},
		{"flash media server", "u", []string{wowzaNeed, fmsChallenge}, []string{adobeName, adobeName + "&challenge="}},
		{"no frills", "u", []string{shortNeed, shortChallenge}, []string{adobeName, adobeName + "&challenge="}},
		{"challenges at once", "u", []string{wowzaChallenge}, []string{adobeName + "&challenge="}},
		{"challenges for ever", "u", []string{wowzaNeed, wowzaChallenge, wowzaChallenge},
			[]string{adobeName, adobeName + "&challenge=", "did not accept"}},
		{"asks for ever", "u", []string{wowzaNeed, wowzaNeed}, []string{adobeName, "no challenge"}},
		{"limelight", "u", []string{limeNeed, limeChallenge}, []string{limeName, limeName + "&nonce=bm9u&cnonce="}},
		{"limelight, wrong password", "u", []string{limeNeed, limeChallenge, limeFailed},
			[]string{limeName, limeName + "&nonce=bm9u&cnonce=", "wrong name or password"}},
		{"nothing given", "", []string{wowzaNeed}, []string{"rtmpFlashVersion"}},
		{"unknown kind", "u", []string{"code=403 need auth; authmod=kerberos"}, []string{"not known"}},
		{"odd name", "n@me:/%&ä ", []string{wowzaNeed}, []string{"authmod=adobe&user=n@me:/%25%26ä%20"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := Login{User: c.user, Password: "p", App: "live"}
			for i, description := range c.refusals {
				got, err := l.Next(&StatusError{Command: "connect", Level: "error",
					Code: "NetConnection.Connect.Rejected", Description: description})
				if err != nil {
					if !errors.Is(err, ErrLoginRefused) || strings.Contains(err.Error(), description) {
						t.Errorf("refusal %d: %v, want ErrLoginRefused in our words", i, err)
					}
					got = err.Error()
				}
				if !strings.Contains(got, c.want[i]) || err == nil && !strings.HasPrefix(got, c.want[i]) {
					t.Errorf("refusal %d: %q, want %q", i, got, c.want[i])
				}
			}
		})
	}
}

func TestLoginLeavesOtherRefusals(t *testing.T) {
	for _, refused := range []*StatusError{
		{Command: "connect", Code: "NetConnection.Connect.InvalidApp", Description: "no such application"},
		{Command: "connect", Code: "NetConnection.Connect.Rejected"},
		{Command: "publish", Code: "NetStream.Publish.Denied", Description: wowzaNeed},
	} {
		l := Login{User: "u", Password: "p"}
		if _, err := l.Next(refused); err != error(refused) {
			t.Errorf("%v became %v", refused, err)
		}
	}
}

// TestLoginAtForeignServer logs in at a server that we did not write.
func TestLoginAtForeignServer(t *testing.T) {
	const user, password = "n@me:/%ä", "p@ss&:/%ä"
	for _, c := range []struct {
		name, password string
		want           error
	}{
		{"right", password, nil},
		{"wrong", "other", ErrLoginRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := logIn(t, Login{User: user, Password: c.password, App: "live"}, func(nc net.Conn) error {
				s := &gortmplib.ServerConn{RW: nc}
				if err := s.Initialize(); err != nil {
					return err
				}
				if s.CheckCredentials(user, password) == nil {
					_ = s.Accept() // ends with an error, for the client does not publish
				}
				return nil
			})
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// logIn connects as often as the login wants.
func logIn(t *testing.T, l Login, serve func(net.Conn) error) error {
	query := ""
	for range 3 {
		ours, theirs := connect(t)
		during(t, func() error { return serve(theirs) })
		c := NewClient(ours, ClientConfig{App: l.App, TCURL: "rtmp://h/" + l.App, Login: query})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		err := c.Connect()
		var refused *StatusError
		if !errors.As(err, &refused) {
			ours.Close()
			return err
		}
		if query, err = l.Next(refused); err != nil {
			return err
		}
		ours.Close()
	}
	return errors.New("a fourth connection is wanted")
}

func TestAddQuery(t *testing.T) {
	for _, c := range []struct{ s, query, want string }{
		{"live", "", "live"},
		{"live", "a=b", "live?a=b"},
		{"live/?x=y", "a=b", "live/?x=y&a=b"},
		{"live/?user1&pass1", "a=b", "live/?user1&pass1&a=b"},
		{"live?", "a=b", "live?a=b"},
	} {
		if got := addQuery(c.s, c.query); got != c.want {
			t.Errorf("addQuery(%q, %q) = %q, want %q", c.s, c.query, got, c.want)
		}
	}
}

// FuzzLogin holds that no refusal panics and that every chain of them ends.
func FuzzLogin(f *testing.F) {
	for _, s := range []string{wowzaNeed, wowzaChallenge, wowzaFailed, limeNeed, limeChallenge, limeFailed} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, description string) {
		l := Login{User: "u", Password: "p", App: "a"}
		for range 3 {
			query, err := l.Next(&StatusError{Command: "connect", Description: description})
			if err != nil {
				return
			}
			if !strings.HasPrefix(query, "authmod=") {
				t.Errorf("%q was answered by %q", description, query)
			}
		}
		t.Errorf("%q is answered for ever", description)
	})
}
