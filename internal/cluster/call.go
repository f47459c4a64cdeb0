package cluster

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"transponder/internal/state"
)

// Call is an HTTP request that another process answers in place of this one.
type Call struct {
	// ID is the same for each repetition of a call, so that a repeated call does nothing twice.
	ID     string      `json:"id"`
	Method string      `json:"method"`
	Path   string      `json:"path"` // with the query
	Header http.Header `json:"header,omitempty"`
	Host   string      `json:"host,omitempty"`
	Peer   string      `json:"peer,omitempty"`   // the address of the client
	Secure bool        `json:"secure,omitempty"` // the client uses TLS
	// Caller says who asks, in a form of the door that serves the call. nil: the door finds out itself.
	Caller json.RawMessage `json:"caller,omitempty"`
	// Changes means that the call may change something, so that its answer must be kept for repetitions.
	Changes bool   `json:"changes,omitempty"`
	Body    []byte `json:"-"`
}

// Reply is the answer to a Call.
type Reply struct {
	Node   string      `json:"-"` // which has answered
	Status int         `json:"status"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"-"`
}

// Write sends the answer to a client.
func (r Reply) Write(w http.ResponseWriter) {
	for name, values := range r.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body) // the client may have gone
}

// callKey is the key of a Call in the context of the request that serves it.
type callKey struct{}

// Forwarded returns the call that a request serves; nil: a client of this server has sent the request.
func Forwarded(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// errTooLarge means that a call does not fit into a message of NATS.
var errTooLarge = errors.New("the request is too large to be handed to another server")

const (
	// maxMessage is the longest message that is sent, below the 1 MiB that NATS servers take by default.
	maxMessage = 960 << 10
	// maxPlain is the longest content of a call or of an answer: 10,000 pushes are a tenth of it.
	maxPlain = 64 << 20
	// smallMessage is too short for compression to be worth its time.
	smallMessage = 1 << 10
)

// The first byte of a packed text says how the rest is to be read.
const (
	plainText  = 0
	zippedText = 1
)

// pack seals a head and a body for one place.
func pack(sealer state.Sealer, place string, head any, body []byte) ([]byte, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	plain := binary.BigEndian.AppendUint32([]byte{plainText}, uint32(len(text)))
	plain = append(append(plain, text...), body...)
	if len(plain) > smallMessage {
		var zipped bytes.Buffer
		zipped.WriteByte(zippedText)
		w, _ := gzip.NewWriterLevel(&zipped, gzip.BestSpeed) // the level is a valid one
		if _, err := w.Write(plain[1:]); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		plain = zipped.Bytes()
	}
	sealed, err := sealer.Seal(place, plain)
	return []byte(sealed), err
}

var errMessage = errors.New("a message of another server cannot be read")

// unpack opens what pack has sealed for the same place.
func unpack(sealer state.Sealer, place string, sealed []byte, head any) (body []byte, err error) {
	plain, err := sealer.Open(place, string(sealed))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	case len(plain) == 0:
		return nil, errMessage
	}
	form, plain := plain[0], plain[1:]
	if form == zippedText {
		r, err := gzip.NewReader(bytes.NewReader(plain))
		if err == nil {
			plain, err = io.ReadAll(io.LimitReader(r, maxPlain+1))
		}
		if err != nil || len(plain) > maxPlain {
			return nil, fmt.Errorf("%w: it is not gzip, or too large", errMessage)
		}
	}
	if len(plain) < 4 || uint64(binary.BigEndian.Uint32(plain)) > uint64(len(plain)-4) {
		return nil, errMessage
	}
	n := 4 + binary.BigEndian.Uint32(plain)
	if err := json.Unmarshal(plain[4:n], head); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	return plain[n:], nil
}
