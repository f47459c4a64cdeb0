package rtc

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

func TestICEServers(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	urls := []string{"stun:stun.example.com", "turns:turn.example.com:443?transport=tcp"}
	for name, c := range map[string]struct {
		servers ICEServers
		want    []ICEServer
	}{
		"none":       {ICEServers{}, nil},
		"a password": {ICEServers{URLs: urls, User: "u", Password: "p"}, []ICEServer{{URL: urls[0]}, {urls[1], "u", "p"}}},
		// The credential comes from: printf 1900086400:cam | openssl dgst -sha1 -hmac hunter2 -binary | base64
		"a secret": {ICEServers{URLs: urls, Secret: "hunter2"}, []ICEServer{{URL: urls[0]}, {urls[1], "1900086400:cam", "MtG38OHLyxaCbQwGIyDjMkP0T0w="}}},
	} {
		if got := c.servers.For("cam", now); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if err := c.servers.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []ICEServers{
		{URLs: []string{"http://example.com"}}, {URLs: []string{"turn:"}}, {URLs: []string{"turn:a>;b"}}, {URLs: urls}, {URLs: urls, User: "u"}, {URLs: urls, Password: "p"},
		{URLs: urls, User: "u", Password: "p", Secret: "s"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// A password for a day is what TURN servers take, and after a day they do not take it any more. The judge is pion's TURN server.
func TestICEServersExpire(t *testing.T) {
	servers := ICEServers{URLs: []string{"turn:turn.example.com"}, Secret: "hunter2"}
	judge := turn.LongTermTURNRESTAuthHandler("hunter2", logging.NewDefaultLoggerFactory().NewLogger("turn"))
	for _, c := range []struct {
		name  string
		made  time.Duration // how long ago
		taken bool
	}{
		{"new", 0, true},
		{"a minute before the end", turnFor - time.Minute, true},
		{"a minute after the end", turnFor + time.Minute, false},
	} {
		one := servers.For("cam", time.Now().Add(-c.made))[0]
		_, key, ok := judge(&turn.RequestAttributes{Username: one.User, Realm: "example.com", SrcAddr: &net.UDPAddr{}})
		if ok != c.taken {
			t.Errorf("%s: taken is %v, want %v", c.name, ok, c.taken)
		}
		if want := turn.GenerateAuthKey(one.User, "example.com", string(one.Credential)); ok && !bytes.Equal(key, want) {
			t.Errorf("%s: another password than the TURN server expects", c.name)
		}
	}
}

// Nothing that somebody prints or logs by mistake shows a password.
func TestICEServersAreNotPrinted(t *testing.T) {
	one := ICEServers{URLs: []string{"turn:turn.example.com"}, User: "u", Password: "hunter2"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "servers", one, "told", one.For("", time.Now()), "password", one.Password)
	for _, text := range []string{log.String(), fmt.Sprintf("%v %+v %#v", one, one, one), fmt.Sprintf("%v %+v %#v", one.For("", time.Now()), one.Password, one.Password)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the password is printed: %s", text)
		}
	}
}
