package rtc

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/pion/stun/v4"
)

// ICEServers are the STUN and TURN servers that clients are told. This server itself needs none.
type ICEServers struct {
	URLs []string // as RFC 7064 and RFC 7065 write them
	// Secret is what the TURN servers share with this server: with it clients get a name and a password for a day (draft-uberti-behave-turn-rest,
	// in coturn use-auth-secret). "": they get User and Password, if there are any.
	Secret Secret

	User     string
	Password Secret
}

// Secret is a text that logs do not show. JSON does, because clients get the passwords that are made for them.
type Secret string

// String hides the secret.
func (Secret) String() string { return "***" }

// GoString hides the secret.
func (Secret) GoString() string { return "***" }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("***") }

// ICEServer is one server with the credential of one client, in the form of the browsers' RTCIceServer.
type ICEServer struct {
	URL        string `json:"urls"`
	User       string `json:"username,omitempty"`
	Credential Secret `json:"credential,omitempty"`
}

// Validate reports what cannot be used.
func (s ICEServers) Validate() error {
	var errs []error
	turn := false
	for _, one := range s.URLs {
		uri, err := stun.ParseURI(one)
		if err != nil {
			errs = append(errs, fmt.Errorf("ice_servers: %q must be like stun:stun.example.com:3478 or turns:turn.example.com:443?transport=tcp", one))
			continue
		}
		turn = turn || isTURN(uri)
	}
	switch {
	case s.Secret != "" && (s.User != "" || s.Password != ""):
		errs = append(errs, errors.New("turn_secret takes the place of turn_user and turn_password: set one or the other"))
	case (s.User == "") != (s.Password == ""):
		errs = append(errs, errors.New("turn_user and turn_password belong together"))
	case turn && s.Secret == "" && s.User == "":
		errs = append(errs, errors.New("ice_servers has a TURN server, which needs turn_secret, or turn_user and turn_password"))
	}
	return errors.Join(errs...)
}

func isTURN(u *stun.URI) bool {
	return u.Scheme == stun.SchemeTypeTURN || u.Scheme == stun.SchemeTypeTURNS
}

// turnFor is how long a client may use a TURN server with one credential. It must reach beyond the end of a show.
const turnFor = 24 * time.Hour

// For returns the servers for a client. The logs of TURN servers show the name of the client.
func (s ICEServers) For(client string, now time.Time) []ICEServer {
	user, password := s.User, s.Password
	if s.Secret != "" {
		user = strconv.FormatInt(now.Add(turnFor).Unix(), 10) + ":" + client
		mac := hmac.New(sha1.New, []byte(s.Secret))
		mac.Write([]byte(user))
		password = Secret(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	var all []ICEServer
	for _, one := range s.URLs {
		server := ICEServer{URL: one}
		if uri, err := stun.ParseURI(one); err == nil && isTURN(uri) {
			server.User, server.Credential = user, password
		}
		all = append(all, server)
	}
	return all
}
