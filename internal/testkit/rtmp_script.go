package testkit

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Misdeed is a fault of a scripted server.
type Misdeed int

// The misdeeds.
const (
	Obey          Misdeed = iota // no fault
	Refuse                       // answers _error or onStatus with Code
	StaySilent                   // does not answer, and goes on reading
	HangUp                       // closes the connection
	TalkNonsense                 // sends bytes that are not RTMP
	StopReading                  // reads no more, and keeps the connection open
	AnswerLate                   // waits for Release, then goes on without a fault
	StopAcking                   // sends no more acknowledgements, and goes on
	AskReconnect                 // asks the client to reconnect to NewURL, and goes on
	SendElsewhere                // refuses with a redirect to NewURL, and closes the connection
)

// Script says at which step a server has a fault, and which. Steps are "accept" (before the handshake), "handshake" (after it), the
// commands by their names, and "media" (after the first audio or video message). With the zero Script there is no fault.
type Script struct {
	At          string
	Do          Misdeed
	When        func() bool // is it time? Asked at each step of the name, by any goroutine; nil: at the first one
	Times       int         // in how many connections, from the first; 0: in all
	Code        string      // of a refusal
	Description string
	Release     <-chan struct{} // closed to end the wait of AnswerLate
	NewURL      string          // of AskReconnect and SendElsewhere

	Host      string // to listen on; "": 127.0.0.1
	Login     Login
	FourCC    []string // offered in the answer to connect
	ChunkSize uint32   // of sent chunks; 0: the default of RTMP, 128
	SplitSent bool     // sends byte by byte

	// Ack returns the number of bytes in the n-th acknowledgement of a connection, from 0, after so many bytes were received, and
	// whether it is sent; nil: the number of received bytes.
	Ack    func(n int, received uint32) (number uint32, send bool)
	NoPong bool // does not answer pings
}

// Login is the login that a server demands for connect. As in the original schemes, the server refuses one connection to demand a login,
// and another one to send a challenge.
type Login struct {
	Scheme         string // "adobe", "llnw"; "": no login
	User, Password string
}

// The challenges of the server: Base64 with all characters that are special in a query.
const (
	loginSalt   = "c2Fs+dA=="
	loginOpaque = "b3Bh/cXVl+Q=="
	loginNonce  = "bm9uY2U="
)

// refusal returns how connect is refused, "" if it is granted.
func (l Login) refusal(app string) string {
	app, query, _ := strings.Cut(app, "?")
	values := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	user, _ := url.PathUnescape(values["user"])
	reject := "[ AccessManager.Reject ] : [ authmod=" + l.Scheme + " ] : ?reason="
	switch {
	case l.Scheme == "":
		return ""
	case values["authmod"] != l.Scheme:
		return "[ AccessManager.Reject ] : [ code=403 need auth; authmod=" + l.Scheme + " ] : "
	case user != l.User:
		return reject + "nosuchuser"
	case values["response"] == "" && l.Scheme == "adobe":
		return reject + "needauth&user=" + values["user"] + "&salt=" + loginSalt + "&challenge=none&opaque=" + loginOpaque
	case values["response"] == "":
		return reject + "needauth&nonce=" + loginNonce
	case values["response"] != l.response(app, values):
		return reject + "authfailed&opaque=" + loginOpaque
	}
	return ""
}

// response returns the right response to the challenge.
func (l Login) response(app string, values map[string]string) string {
	if l.Scheme == "adobe" {
		sum := func(s string) string {
			b := md5.Sum([]byte(s))
			return base64.StdEncoding.EncodeToString(b[:])
		}
		return sum(sum(l.User+loginSalt+l.Password) + loginOpaque + values["challenge"])
	}
	sum := func(parts ...string) string {
		b := md5.Sum([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(b[:])
	}
	if app = strings.Trim(app, "/"); !strings.Contains(app, "/") {
		app += "/_definst_"
	}
	return sum(sum(l.User, "live", l.Password), loginNonce, values["nc"], values["cnonce"], "auth", sum("publish", "/"+app))
}

var (
	// errEnd ends a connection as the script says.
	errEnd = errors.New("the script ends the connection")
	// errRefused means that a command was refused as the script says.
	errRefused = errors.New("refused")
)

// misbehave commits the misdeed of the script if it is for this step. refuse sends a refusal.
func (c *rtmpConn) misbehave(step string, refuse func() error) error {
	script := c.s.script
	if script.At != step || c.misbehaved || script.Times > 0 && c.number > script.Times || script.When != nil && !script.When() {
		return nil
	}
	c.misbehaved = true
	switch script.Do {
	case Refuse, SendElsewhere:
		if err := refuse(); err != nil {
			return err
		}
		if script.Do == SendElsewhere {
			return errEnd
		}
		return errRefused
	case StaySilent:
		return c.discard()
	case HangUp:
		return errEnd
	case TalkNonsense:
		if _, err := c.conn.Write(slices.Repeat([]byte("HTTP/1.1 400 Bad Request\r\n"), 200)); err != nil {
			return err
		}
		return c.discard()
	case StopReading:
		c.untilClosed()
		return errEnd
	case AnswerLate:
		select {
		case <-script.Release:
		case <-c.s.closed:
			return errEnd
		}
	case StopAcking:
		c.silentAcks = true
	case AskReconnect:
		info := append(c.info("status", "NetConnection.Connect.ReconnectRequest"), entry("tcUrl", script.NewURL))
		return c.onStatus(0, info)
	}
	return nil
}

// discard reads and discards until the connection ends.
func (c *rtmpConn) discard() error {
	_, err := io.Copy(io.Discard, c.conn)
	return errors.Join(errEnd, err)
}

// untilClosed waits until Kick, or until the server is closed. It polls for an error of the connection, since a read would take bytes.
func (c *rtmpConn) untilClosed() {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-c.s.closed:
			return
		case <-poll.C:
			if err := c.conn.SetDeadline(time.Time{}); err != nil { // fails on a closed connection only
				return
			}
		}
	}
}
