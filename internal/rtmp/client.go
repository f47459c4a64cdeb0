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

// ClientConfig says what a client publishes, and how it names itself. All strings go to the wire as they are.
type ClientConfig struct {
	App          string // connect's app, with instance and query: "live/?user=a"
	TCURL        string // connect's tcUrl
	FlashVersion string // connect's flashVer
	StreamName   string // what is published, with its query
	Login        string // of Login.Next; goes behind App and TCURL

	// What is offered of Enhanced RTMP v2. Some servers refuse what they do not know: offer only what is needed.
	FourCC    []string // codecs, by flv.FourCC, that may be sent if the server offers them too
	Reconnect bool     // a *ReconnectError is obeyed

	Came Trail // of the connection by which the stream came, if it was RTMP

	// Acked is told of each acknowledgement, with the bytes that the peer has received, and Answered of each answer to a ping, with the
	// ping's value. Whoever reads calls them: they must not block. Nil: nobody is told.
	Acked    func(bytes int64)
	Answered func(value uint32)
}

// The transactions of a client, in the order of its commands.
const (
	txConnect       = 1
	txReleaseStream = 2
	txFCPublish     = 3
	txCreateStream  = 4
	txPublish       = 5
	txFCUnpublish   = 6
	txDeleteStream  = 7
)

// Client publishes one stream. Its calls go in the order Handshake, Connect, Publish; then one goroutine may send, one may
// be in Serve, and the figures may be read by any. After an error of any call, other than *ReconnectError, the connection
// is of no use.
type Client struct {
	cfg   ClientConfig
	conn  *conn
	trail Trail

	offered  fourCCs // set by Connect
	streamID uint32  // set by Publish

	started    bool  // Publish was granted; as unreadable, owned by the reading goroutine
	unreadable error // of a command that came before that
}

// NewClient makes a client for a connection that is open and on which nothing was sent. Nothing is sent before Handshake.
func NewClient(rw io.ReadWriter, cfg ClientConfig) *Client {
	c := &Client{cfg: cfg, conn: newConn(rw)}
	c.conn.chunks.expectAnswers()
	rand.Read(c.trail[0][:])
	copy(c.trail[1:], cfg.Came[:])
	c.conn.onAck, c.conn.onAnswer = cfg.Acked, cfg.Answered
	return c
}

// Hello returns what the handshake begins with.
func (c *Client) Hello() Hello { return c.trail[0] }

// Handshake exchanges the first bytes (RTMP 1.0, 5.2). Whatever goes wrong is an ErrHandshake around its cause.
func (c *Client) Handshake() error {
	return clientHandshake(c.conn.chunks.in, countingWriter{c.conn}, c.trail)
}

// Connect asks for the application. A refusal is a *StatusError whose Command is "connect", or a *ReconnectError if the
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

// Offers says whether the server that has granted Connect takes a codec, named as flv.FourCC does. Servers that know
// nothing of Enhanced RTMP offer none.
func (c *Client) Offers(fourCC string) bool { return c.offered.has(fourCC) }

// connectObject says who we are, with the fields and values of Adobe's Flash Media Live Encoder.
func (c *Client) connectObject() amf.Object {
	o := amf.Object{
		{Name: "app", Value: addQuery(c.cfg.App, c.cfg.Login)},
		{Name: "type", Value: "nonprivate"},
		{Name: "flashVer", Value: c.cfg.FlashVersion},
		{Name: "tcUrl", Value: addQuery(c.cfg.TCURL, c.cfg.Login)},
		{Name: "fpad", Value: false},
		{Name: "capabilities", Value: 15.0},
		{Name: "audioCodecs", Value: 3191.0}, // all of RTMP's
		{Name: "videoCodecs", Value: 252.0},  // likewise
		{Name: "videoFunction", Value: 1.0},
	}
	o = append(o, fourCCs(c.cfg.FourCC).properties()...)
	if c.cfg.Reconnect {
		o = append(o, amf.Property{Name: "capsEx", Value: float64(capReconnect)})
	}
	return o
}

// Publish sends releaseStream, FCPublish, createStream and publish and returns when the peer answered
// NetStream.Publish.Start. A refusal is a *StatusError whose Command is "createStream" or "publish", or a *ReconnectError.
func (c *Client) Publish() error {
	// The first two help servers that keep a name after a broken connection. Many do not know them: answers do not matter.
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
	c.streamID = uint32(id)
	if err := c.conn.post(streamCall(c.streamID, "publish", txPublish, nil, c.cfg.StreamName, "live")); err != nil {
		return fmt.Errorf("send publish: %w", err)
	}
	_, err = c.await("publish", txPublish, "onStatus")
	if err == nil {
		c.started, c.unreadable = true, nil
	}
	return err
}

// await reads until the answer to a command comes: a message called answer, which is _result with the command's
// transaction, or onStatus, which has none. Answers to other commands are passed over.
func (c *Client) await(name string, transaction float64, answer string) (command, error) {
	for {
		cmd, err := c.readCommand()
		if err != nil {
			return command{}, fmt.Errorf("read the answer to %s: %w", name, err)
		}
		switch cmd.name {
		case "_error":
			if cmd.transaction == transaction {
				return command{}, cmd.refusal(name)
			}
		case "close":
			return command{}, fmt.Errorf("read the answer to %s: %w", name, ErrClosedByPeer)
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

// readCommand returns the next command and passes over all else: what a server sends besides means nothing to a publisher. A
// command that cannot be read is passed over too. It only counts where no other comes: it may have been the answer.
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

// endings are the status codes that end a stream though their level does not call them errors.
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

// beside says whether a code, at whatever level, is about something else than a stream that is live: its recording at the server, a
// player's request, or a call. A server that ends the stream with it closes it as well.
func beside(code string) bool {
	return slices.ContainsFunc([]string{"NetStream.Record.", "NetStream.Play.", "NetConnection.Call."}, func(about string) bool {
		return strings.HasPrefix(code, about)
	})
}

// statusEnd says whether an onStatus ends the stream or asks for another connection.
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

// WriteTags sends tags in one Write, or in several when they are large. The tags' payloads are not kept.
func (c *Client) WriteTags(tags []flv.Tag) error { return c.conn.writeTags(c.streamID, tags) }

// Serve reads what the peer sends after Publish, answering pings and acknowledging bytes, until there is something to act on:
// *StatusError when the peer reports an error or ends the stream, *ReconnectError when it asks for another connection,
// ErrClosedByPeer when it says close, io.EOF when it closes the connection, or the connection's error.
// After a *ReconnectError the stream goes on and Serve may be called again.
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

// Unpublish says goodbye: FCUnpublish and deleteStream in one Write. It does not wait for answers. It belongs to the
// goroutine that sends: called while another is in WriteTags, it leaves the goodbye to that one.
func (c *Client) Unpublish() error {
	return c.conn.post(
		call("FCUnpublish", txFCUnpublish, nil, c.cfg.StreamName),
		call("deleteStream", txDeleteStream, nil, float64(c.streamID)),
	)
}

// BytesSent returns the bytes handed to the connection so far.
func (c *Client) BytesSent() int64 { return c.conn.BytesSent() }

// BytesReceived returns the bytes that came from the connection so far.
func (c *Client) BytesReceived() int64 { return c.conn.BytesReceived() }

// BytesAcked returns the bytes that the peer has acknowledged, as far as it can be understood, and never more than BytesSent. It
// stays 0 with peers that never acknowledge. Whether they count the handshake differs from peer to peer.
func (c *Client) BytesAcked() int64 { return c.conn.BytesAcked() }

// Ping asks the peer for an answer. It goes out behind the next tags. Not every server answers a client. Any goroutine may call it.
func (c *Client) Ping(value uint32) { c.conn.ping.Store(&value) }
