package rtmp

import (
	"fmt"

	"transponder/internal/amf"
)

// maxCommand is the longest command that is read. The longest commands in use, connect with a token, have some kilobytes.
const maxCommand = 64 << 10

// command is a remote procedure call or its answer (RTMP 1.0, 7.1.1).
type command struct {
	streamID    uint32
	name        string
	transaction float64
	args        []any // after the transaction id: the command object, which is often null, and more
}

// parseCommand reads a command message in AMF0, or AMF0 in a message of the AMF3 type.
func parseCommand(m Message) (command, error) {
	b := m.Payload
	if len(b) > maxCommand {
		return command{}, fmt.Errorf("%w: command of %d bytes", ErrProtocol, len(b))
	}
	if m.Type == typeCommandAMF3 && len(b) > 0 {
		b = b[1:] // the encoding, always 0 for AMF0
	}
	values, err := amf.Decode(b)
	if len(values) < 2 && err != nil {
		return command{}, fmt.Errorf("%w: read command: %w", ErrProtocol, err)
	}
	// The part that could be read is enough: the beginning of an answer tells its meaning even if the rest is broken or in AMF3.
	c := command{streamID: m.StreamID}
	if len(values) > 0 {
		c.name, _ = values[0].(string)
	}
	if c.name == "" {
		return command{}, fmt.Errorf("%w: command without a name", ErrProtocol)
	}
	if len(values) > 1 {
		c.transaction, _ = values[1].(float64)
		c.args = values[2:]
	}
	return c, nil
}

// arg returns the i-th argument, nil if there is none.
func (c command) arg(i int) any {
	if i < len(c.args) {
		return c.args[i]
	}
	return nil
}

// text returns the i-th argument if it is a string.
func (c command) text(i int) string {
	s, _ := c.arg(i).(string)
	return s
}

// info returns the information object. Servers put it after a null or, wrongly, in place of the null.
func (c command) info() amf.Object {
	for i := len(c.args) - 1; i >= 0; i-- {
		if o, ok := amf.AsObject(c.args[i]); ok {
			return o
		}
	}
	return nil
}

// status turns the information object into an error that names the refused command.
func (c command) status(refused string) *StatusError {
	o := c.info()
	e := &StatusError{Command: refused, Level: o.String("level"), Code: o.String("code"), Description: o.String("description")}
	if o == nil {
		e.Description = c.text(1)
	}
	return e
}

// refusal is status, or a *ReconnectError if the server names another address. The servers of Adobe, Wowza and SRS name it in ex.redirect of
// an error with ex.code 302 (Adobe, application.redirectConnection).
func (c command) refusal(refused string) error {
	o := c.info()
	value, _ := o.Lookup("ex")
	ex, _ := amf.AsObject(value)
	to := ex.String("redirect")
	if code, _ := ex.Lookup("code"); to == "" || code != 302.0 && code != "302" {
		return c.status(refused)
	}
	return &ReconnectError{TCURL: to, Description: o.String("description")}
}

// call makes a command on the connection.
func call(name string, transaction float64, args ...any) outgoing {
	return streamCall(0, name, transaction, args...)
}

// streamCall makes a command on a message stream.
func streamCall(streamID uint32, name string, transaction float64, args ...any) outgoing {
	chunk := uint32(chunkCommand)
	if streamID != 0 {
		chunk = chunkStream
	}
	payload := amf.Append(nil, name, transaction)
	return outgoing{chunk: chunk, kind: typeCommand, streamID: streamID, payload: amf.Append(payload, args...)}
}

// chunkSizeMessage announces the size of the chunks that follow.
func chunkSizeMessage() outgoing { return control(typeSetChunkSize, chunkSize) }

// windowMessage tells the other side how often to acknowledge.
func windowMessage() outgoing { return control(typeWindowAckSize, ackWindow) }
