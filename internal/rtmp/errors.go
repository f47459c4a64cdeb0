package rtmp

import (
	"errors"
	"fmt"
)

var (
	// ErrHandshake means that the other side does not speak RTMP version 3.
	ErrHandshake = errors.New("rtmp handshake failed")
	// ErrProtocol means that the bytes of the other side break the protocol, or the limits of this package.
	ErrProtocol = errors.New("rtmp protocol error")
	// ErrClosedByPeer means that the other side ended the connection by the command close.
	ErrClosedByPeer = errors.New("the peer closed the rtmp connection")
)

// StatusError is an _error or onStatus of the server that refuses a command or ends the stream. The texts come from the server and may contain
// the name of the stream.
type StatusError struct {
	Command     string // the refused command: "connect", "createStream", "publish"; "onStatus" after the start
	Level       string // "error", mostly
	Code        string // "NetStream.Publish.BadName"
	Description string
}

// Error contains the command, the code and the description.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: peer answered %q: %s", e.Command, e.Code, e.Description)
}

// ReconnectError is the request of a server to connect again, perhaps to another address: NetConnection.Connect.ReconnectRequest of Enhanced
// RTMP v2, or a refusal with a redirect.
type ReconnectError struct {
	TCURL       string // the address as the server gave it; see Resolve
	Description string
}

// Error does not contain the address.
func (e *ReconnectError) Error() string { return "the peer asks for a reconnect" }
