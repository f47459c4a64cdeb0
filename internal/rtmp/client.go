package rtmp

import (
	"io"

	"transponder/internal/flv"
)

// ClientConfig says what a client publishes, and how it names itself. All strings go to the wire as they are.
type ClientConfig struct {
	App          string // connect's app, with instance and query: "live/?user=a"
	TCURL        string // connect's tcUrl
	FlashVersion string // connect's flashVer
	StreamName   string // what is published, with its query
}

// Client publishes one stream. Its calls go in the order Handshake, Connect, Publish; then one goroutine may be in
// WriteTags, one in Serve, and the figures may be read by any. After an error of any call the connection is of no use.
type Client struct{}

// NewClient makes a client for a connection that is open and on which nothing was sent. Nothing is sent before Handshake.
func NewClient(conn io.ReadWriter, cfg ClientConfig) *Client { return &Client{} }

// Handshake exchanges the first bytes (RTMP 1.0, 5.2). A peer that speaks something else gives ErrHandshake.
func (c *Client) Handshake() error { return nil }

// Connect asks for the application. A refusal is a *StatusError whose Command is "connect".
func (c *Client) Connect() error { return nil }

// Publish sends releaseStream, FCPublish, createStream and publish and returns when the peer answered
// NetStream.Publish.Start. A refusal is a *StatusError whose Command is the one that was refused.
func (c *Client) Publish() error { return nil }

// WriteTags sends tags in one Write, or in several when they are large. The tags' payloads are not kept.
func (c *Client) WriteTags(tags []flv.Tag) error { return nil }

// Serve reads what the peer sends after Publish, answering pings and acknowledging bytes, until there is something to act on:
// *StatusError when the peer reports an error or ends the stream, *ReconnectError when it asks for another connection,
// ErrClosedByPeer when it says close, io.EOF when it closes the connection, or the connection's error.
// After a *ReconnectError the stream goes on and Serve may be called again.
func (c *Client) Serve() error { return nil }

// Unpublish says goodbye: FCUnpublish and deleteStream in one Write. It does not wait for answers.
func (c *Client) Unpublish() error { return nil }

// BytesSent returns the bytes handed to the connection so far.
func (c *Client) BytesSent() int64 { return 0 }

// BytesAcked returns the bytes that the peer has acknowledged; it stays 0 with peers that never do. Whether they count the
// handshake differs from peer to peer.
func (c *Client) BytesAcked() int64 { return 0 }
