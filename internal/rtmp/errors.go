package rtmp

import (
	"errors"
	"fmt"
)

var (
	// ErrHandshake means that the peer does not speak RTMP, or not version 3.
	ErrHandshake = errors.New("rtmp handshake failed")
	// ErrProtocol means that the peer's bytes break the rules or our limits.
	ErrProtocol = errors.New("rtmp protocol error")
	// ErrClosedByPeer means that the peer ended the connection in so many words.
	ErrClosedByPeer = errors.New("the peer closed the rtmp connection")
)

// StatusError is a peer's _error or onStatus that refuses a command or ends the stream. The text fields are the peer's
// own words; they may repeat the stream name.
type StatusError struct {
	Command     string // that was refused: "connect", "createStream", "publish"; "onStatus" after the start
	Level       string // "error", mostly
	Code        string // "NetStream.Publish.BadName"
	Description string
}

// Error gives the command, the code and the description.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: peer answered %q: %s", e.Command, e.Code, e.Description)
}

// ReconnectError is a peer's request to connect elsewhere or anew: NetConnection.Connect.ReconnectRequest of Enhanced RTMP v2,
// or a refusal with a redirect.
type ReconnectError struct {
	TCURL       string // where to, as the peer said it; see Resolve
	Description string
}

// Error says that the peer wants another connection.
func (e *ReconnectError) Error() string { return "the peer asks for a reconnect" }
