package rtmp

import (
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"transponder/internal/amf"
	"transponder/internal/flv"
)

// ClientConfig is what a client publishes and how it describes itself. All strings are sent as they are.
type ClientConfig struct {
	App          string // app of connect, with instance and query: "live/?user=a"
	TCURL        string // tcUrl of connect
	FlashVersion string // flashVer of connect
	StreamName   string // the name to publish, with its query
	Login        string // from Login.Next; appended to App and TCURL

	// These are offered by Enhanced RTMP v2. Some servers refuse offers that they do not know, so offer only what is needed.
	FourCC    []string // codecs, by flv.FourCC, that may be sent if the server offers them too
	Reconnect bool     // the caller follows a *ReconnectError

	Came Trail // of the connection from which the stream comes, if that is RTMP

	// Acked is called for each acknowledgement, with the bytes that the server has received. Answered is called for each answer to a ping,
	// with the value of the ping. The goroutine that reads calls them, so they must not block. Both may be nil.
	Acked    func(bytes int64)
	Answered func(value uint32)
}

// The transaction ids of a client, in the order of its commands.
const (
	txConnect       = 1
	txReleaseStream = 2
	txFCPublish     = 3
	txCreateStream  = 4
	txPublish       = 5
	txFCUnpublish   = 6
	txDeleteStream  = 7
)

// Client publishes one stream. The calls are Handshake, Connect, Publish, in this order. Then one goroutine may send and one may be in Serve;
// any goroutine may read the figures. After an error other than *ReconnectError the connection cannot be used any more.
type Client struct {
	cfg   ClientConfig
	conn  *conn
	trail Trail

	offered  fourCCs // set by Connect
	streamID uint32  // set by CreateStream
	created  bool    // CreateStream was granted

	started    bool  // Publish was granted; owned by the reading goroutine
	unreadable error // of a command that came before Publish was granted; owned by the reading goroutine
}

// NewClient makes a client for an open connection on which nothing was sent. NewClient sends nothing.
func NewClient(rw io.ReadWriter, cfg ClientConfig) *Client {
	c := &Client{cfg: cfg, conn: newConn(rw)}
	c.conn.chunks.expectAnswers()
	rand.Read(c.trail[0][:])
	copy(c.trail[1:], cfg.Came[:])
	c.conn.onAck, c.conn.onAnswer = cfg.Acked, cfg.Answered
	return c
}

// Hello returns the random bytes at the beginning of the handshake.
func (c *Client) Hello() Hello { return c.trail[0] }

// Handshake exchanges the first bytes (RTMP 1.0, 5.2). Each error wraps ErrHandshake and the cause.
func (c *Client) Handshake() error {
	return clientHandshake(c.conn.chunks.in, countingWriter{c.conn}, c.trail)
}

// Connect asks for the application. If the server refuses, the error is a *StatusError with the Command "connect", or a *ReconnectError if the
// server names another address.
func (c *Client) Connect() error {
	if err := c.conn.post(call("connect", txConnect, c.connectObject())); err != nil {
		return fmt.Errorf("send connect: %w", err)
	}
	granted, err := c.await("connect", txConnect, "_result")
	if err != nil {
		return err
	}
	c.offered = parseFourCCs(granted.args...)
	return nil
}

// Offers reports, after Connect, whether the server accepts a codec, named as in flv.FourCC. Servers without Enhanced RTMP offer none.
func (c *Client) Offers(fourCC string) bool { return c.offered.has(fourCC) }

// connectObject describes the client, with the fields and values of the Flash Media Live Encoder of Adobe.
func (c *Client) connectObject() amf.Object {
	o := amf.Object{
		{Name: "app", Value: addQuery(c.cfg.App, c.cfg.Login)},
		{Name: "type", Value: "nonprivate"},
		{Name: "flashVer", Value: c.cfg.FlashVersion},
		{Name: "tcUrl", Value: addQuery(c.cfg.TCURL, c.cfg.Login)},
		{Name: "fpad", Value: false},
		{Name: "capabilities", Value: 15.0},
		{Name: "audioCodecs", Value: 3191.0}, // all sound formats of RTMP
		{Name: "videoCodecs", Value: 252.0},  // all video codecs of RTMP
		{Name: "videoFunction", Value: 1.0},
	}
	o = append(o, fourCCs(c.cfg.FourCC).properties()...)
	if c.cfg.Reconnect {
		o = append(o, amf.Property{Name: "capsEx", Value: float64(capReconnect)})
	}
	return o
}

// CreateStream sends releaseStream, FCPublish and createStream, and returns when the server has made the message stream. If the server refuses, the
// error is a *StatusError with the Command "createStream", or a *ReconnectError.
func (c *Client) CreateStream() error {
	// The first two help servers that keep a name in use after a broken connection. Many servers do not know them, so answers are ignored.
	err := c.conn.post(
		windowMessage(),
		chunkSizeMessage(),
		call("releaseStream", txReleaseStream, nil, c.cfg.StreamName),
		call("FCPublish", txFCPublish, nil, c.cfg.StreamName),
		call("createStream", txCreateStream, nil),
	)
	if err != nil {
		return fmt.Errorf("send createStream: %w", err)
	}
	created, err := c.await("createStream", txCreateStream, "_result")
	if err != nil {
		return err
	}
	id, ok := created.arg(1).(float64)
	if !ok || !(id >= 0 && id <= math.MaxUint32) {
		return fmt.Errorf("%w: createStream gave the stream id %v", ErrProtocol, created.arg(1))
	}
	c.streamID, c.created = uint32(id), true
	return nil
}

// Publish publishes, and returns when the server has answered NetStream.Publish.Start. It calls CreateStream if nobody has. If the server refuses,
// the error is a *StatusError with the Command "publish", or one of CreateStream.
func (c *Client) Publish() error {
	if !c.created {
		if err := c.CreateStream(); err != nil {
			return err
		}
	}
	if err := c.conn.post(streamCall(c.streamID, "publish", txPublish, nil, c.cfg.StreamName, "live")); err != nil {
		return fmt.Errorf("send publish: %w", err)
	}
	_, err := c.await("publish", txPublish, "onStatus")
	if err == nil {
		c.started, c.unreadable = true, nil
	}
	return err
}

// AnswerError tells which command had no answer yet when a connection ended.
type AnswerError struct {
	Command string
	Err     error
}

func (e *AnswerError) Error() string { return "read the answer to " + e.Command + ": " + e.Err.Error() }

// Unwrap returns how the connection ended.
func (e *AnswerError) Unwrap() error { return e.Err }

// await reads until the answer to a command comes: a message with the name answer. That is _result with the transaction id of the command, or
// onStatus, which has no id. Answers to other commands are skipped.
func (c *Client) await(name string, transaction float64, answer string) (command, error) {
	for {
		cmd, err := c.readCommand()
		if err != nil {
			return command{}, &AnswerError{Command: name, Err: err}
		}
		switch cmd.name {
		case "_error":
			if cmd.transaction == transaction {
				return command{}, cmd.refusal(name)
			}
		case "close":
			return command{}, &AnswerError{Command: name, Err: ErrClosedByPeer}
		case "_result":
			if answer == "_result" && cmd.transaction == transaction {
				if cmd.info().String("level") == "error" {
					return command{}, cmd.refusal(name)
				}
				return cmd, nil
			}
		case "onStatus":
			if err := c.statusEnd(cmd, name); err != nil {
				return command{}, err
			}
			if answer == "onStatus" && cmd.info().String("code") == "NetStream.Publish.Start" {
				return cmd, nil
			}
		}
	}
}

// readCommand returns the next command and skips all other messages, which mean nothing to a publisher. A command that cannot be read is
// skipped too. Its error counts only if no other command comes, since it may have been the answer.
func (c *Client) readCommand() (command, error) {
	for {
		m, err := c.conn.next()
		if err != nil {
			if c.unreadable != nil {
				err = fmt.Errorf("%w, after %w", err, c.unreadable)
			}
			return command{}, err
		}
		if m.Type != typeCommand && m.Type != typeCommandAMF3 {
			continue
		}
		cmd, err := parseCommand(m)
		if err == nil {
			return cmd, nil
		}
		if !c.started {
			c.unreadable = err
		}
	}
}

// endings are the status codes that end a stream although their level is not "error".
var endings = map[string]bool{
	"NetConnection.Connect.Closed":      true,
	"NetConnection.Connect.AppShutdown": true,
	"NetConnection.Connect.Failed":      true,
	"NetConnection.Connect.InvalidApp":  true,
	"NetConnection.Connect.Rejected":    true,
	"NetStream.Failed":                  true,
	"NetStream.Publish.BadName":         true,
	"NetStream.Publish.Denied":          true,
	"NetStream.Publish.Failed":          true,
	"NetStream.Publish.Rejected":        true,
	"NetStream.Unpublish.Success":       true,
}

// beside reports whether a code, at any level, is not about the live stream: it is about a recording at the server, a request of a player, or
// a call. A server that ends the stream together with such a code also closes the stream.
func beside(code string) bool {
	return slices.ContainsFunc([]string{"NetStream.Record.", "NetStream.Play.", "NetConnection.Call."}, func(about string) bool {
		return strings.HasPrefix(code, about)
	})
}

// statusEnd returns an error if an onStatus ends the stream or asks for another connection.
func (c *Client) statusEnd(cmd command, name string) error {
	o := cmd.info()
	code := o.String("code")
	switch {
	case code == "NetConnection.Connect.ReconnectRequest":
		return &ReconnectError{TCURL: o.String("tcUrl"), Description: o.String("description")}
	case c.started && beside(code):
		return nil
	case o.String("level") == "error" || endings[code]:
		return cmd.refusal(name)
	default:
		return nil
	}
}

// WriteTags sends tags in one Write, or in several if they are large. It does not keep the payloads.
func (c *Client) WriteTags(tags []flv.Tag) error { return c.conn.writeTags(c.streamID, tags) }

// Serve reads messages of the server after Publish. It answers pings and acknowledges bytes. It returns *StatusError if the server reports an
// error or ends the stream, *ReconnectError if the server asks for another connection, ErrClosedByPeer after the command close, io.EOF if the
// server closes the connection, or the error of the connection. After a *ReconnectError the stream goes on, and Serve may be called again.
func (c *Client) Serve() error {
	for {
		cmd, err := c.readCommand()
		if err != nil {
			return err
		}
		switch cmd.name {
		case "close":
			return ErrClosedByPeer
		case "_error":
			// Late answers to releaseStream and FCPublish do not matter.
			if cmd.transaction == txPublish {
				return cmd.refusal("publish")
			}
		case "onStatus":
			if err := c.statusEnd(cmd, "onStatus"); err != nil {
				return err
			}
		}
	}
}

// Unpublish sends the goodbye, FCUnpublish and deleteStream, in one Write. It does not wait for answers. The goroutine that sends calls it; if
// another goroutine is in WriteTags, that one sends the goodbye.
func (c *Client) Unpublish() error {
	return c.conn.post(
		call("FCUnpublish", txFCUnpublish, nil, c.cfg.StreamName),
		call("deleteStream", txDeleteStream, nil, float64(c.streamID)),
	)
}

// BytesSent returns the bytes written to the connection so far.
func (c *Client) BytesSent() int64 { return c.conn.BytesSent() }

// BytesReceived returns the bytes read from the connection so far.
func (c *Client) BytesReceived() int64 { return c.conn.BytesReceived() }

// BytesAcked returns the bytes that the server has acknowledged, as far as its acknowledgements can be understood, and never more than
// BytesSent. It stays 0 if the server never acknowledges. Some servers count the handshake and some do not.
func (c *Client) BytesAcked() int64 { return c.conn.BytesAcked() }

// Ping asks the server for an answer. The ping is sent after the next tags. Not every server answers. Any goroutine may call it.
func (c *Client) Ping(value uint32) { c.conn.ping.Store(&value) }
