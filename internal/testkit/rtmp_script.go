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

// Misdeed is what a scripted server does in place of the right thing.
type Misdeed int

// The misdeeds.
const (
	Obey          Misdeed = iota // nothing wrong
	Refuse                       // answers _error or onStatus with the script's Code
	StaySilent                   // does not answer, and reads on
	HangUp                       // closes the connection
	TalkNonsense                 // sends bytes that are no RTMP
	StopReading                  // takes no more bytes, and keeps the connection
	AnswerLate                   // waits for Release, then goes on as if nothing had been
	StopAcking                   // acknowledges no more bytes, and goes on
	AskReconnect                 // asks for a connection to NewURL, and goes on
	SendElsewhere                // refuses as Refuse does, with a redirect to NewURL, and hangs up
)

// Script says at which step a server misbehaves and how. Steps are "accept" (before the handshake), "handshake" (after it),
// the commands by their names, and "media" (after the first audio or video message). The zero Script is a friendly server.
type Script struct {
	At          string
	Do          Misdeed
	Times       int    // in how many connections, the first ones; 0: in all
	Code        string // of a refusal
	Description string
	Release     <-chan struct{} // ends the wait of AnswerLate when it is closed
	NewURL      string          // of AskReconnect and SendElsewhere

	Host      string // to listen on; "": 127.0.0.1
	Login     Login
	FourCC    []string // offered in the answer to connect
	ChunkSize uint32   // of what is sent; 0: RTMP's own 128
	SplitSent bool     // sends byte by byte

	// Ack returns what a connection's nth acknowledgement, from 0, says when so many bytes were received, and whether it is sent;
	// nil: the sum.
	Ack    func(n int, received uint32) (number uint32, send bool)
	NoPong bool // pings get no answer
}

// Login is what a server wants to know before it grants connect. It asks as the makers of the scheme do: a connection is
// refused and closed to say that a login is wanted, another to give a challenge.
type Login struct {
	Scheme         string // "adobe", "llnw"; "": no login
	User, Password string
}

// The server's part of the challenges. Base64 with all that is special in a query.
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

// response returns the right one.
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
	// errEnd ends a connection as the script wants it.
	errEnd = errors.New("the script ends the connection")
	// errRefused says that a command was answered with the script's refusal.
	errRefused = errors.New("refused")
)

// misbehave does the script's misdeed if step is the one, with refuse for a refusal.
func (c *rtmpConn) misbehave(step string, refuse func() error) error {
	script := c.s.script
	if script.At != step || c.misbehaved || script.Times > 0 && c.number > script.Times {
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

// discard takes what comes, to the connection's end.
func (c *rtmpConn) discard() error {
	_, err := io.Copy(io.Discard, c.conn)
	return errors.Join(errEnd, err)
}

// untilClosed waits until Kick, or until the server is closed. Nothing tells but an error of the connection: a read would
// take bytes.
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
