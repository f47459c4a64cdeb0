package rtmp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"transponder/internal/amf"
	"transponder/internal/flv"
)

// ErrStreamClosed means that the client ended its stream and keeps the connection. It may ask for another stream.
var ErrStreamClosed = errors.New("the peer closed its stream")

// maxStreams is how many message streams a client may create on one connection.
const maxStreams = 64

// Connect is what a client says about itself in connect.
type Connect struct {
	App, TCURL, FlashVersion string

	offered fourCCs
}

// Offers reports whether the client accepts a codec, named as in flv.FourCC.
func (c Connect) Offers(fourCC string) bool { return c.offered.has(fourCC) }

// Verb is what a client wants with a stream.
type Verb uint8

// The verbs.
const (
	Publish Verb = iota + 1
	Play
)

// Request is the request of a client to publish or play a stream.
type Request struct {
	Verb Verb
	Name string // as the client sent it, with its query
}

// ServerConn serves one client, which publishes or plays one stream at a time. The calls are Handshake, ReadConnect, Grant or Reject, and then for each stream Next,
// Start or Refuse, and ReadMedia or ReadPause until they return ErrStreamClosed. One goroutine at a time makes the calls that read, another the
// calls that send media. After any other error the connection cannot be used any more.
type ServerConn struct {
	conn *conn

	trail    Trail     // set by Handshake
	connect  float64   // transaction of connect; set by ReadConnect
	enhanced bool      // the client has Enhanced RTMP; set by ReadConnect
	denied   []uint32  // message streams that asked for a second stream; owned by the reading goroutine
	created  int       // message streams created so far; owned by the reading goroutine
	queued   []Message // of an aggregate message; owned by the reading goroutine
	streamID uint32    // of the request; set by Next and kept until the next request
	verb     Verb      // of the request; set by Next and kept until the next request
	open     atomic.Bool
}

// NewServerConn makes the server side of a connection from which nothing was read. budget limits the memory for unfinished messages of all
// connections that share it, and the caller calls Release at the end. nil: only the limits of one connection apply.
func NewServerConn(rw io.ReadWriter, budget *Budget) *ServerConn {
	s := &ServerConn{conn: newConn(rw)}
	s.conn.chunks.budget = budget
	return s
}

// Release gives the memory for unfinished messages back to the budget. Nothing may be read any more.
func (s *ServerConn) Release() { s.conn.chunks.release() }

// Unfinished returns when the oldest unfinished message began, the zero time if there is none. Only the goroutine that reads may call it, also
// from within a read.
func (s *ServerConn) Unfinished() time.Time { return s.conn.chunks.oldest }

// Handshake exchanges the first bytes (RTMP 1.0, 5.2). Each error wraps ErrHandshake and the cause.
func (s *ServerConn) Handshake() (err error) {
	s.trail, err = serverHandshake(s.conn.chunks.in, countingWriter{s.conn})
	return err
}

// Trail returns the hello of the client, as Client.Hello returns it there, and the hellos of the connections before.
func (s *ServerConn) Trail() Trail { return s.trail }

// Accept waits for connect and grants any application.
func (s *ServerConn) Accept() (Connect, error) {
	who, err := s.ReadConnect()
	if err == nil {
		err = s.Grant()
	}
	return who, err
}

// ReadConnect waits for connect. Grant or Reject answers it. Nothing may be read before.
func (s *ServerConn) ReadConnect() (Connect, error) {
	m, err := s.nextCommand()
	if err != nil {
		return Connect{}, fmt.Errorf("read connect: %w", err)
	}
	cmd, err := parseCommand(m)
	if err != nil {
		return Connect{}, err
	}
	if cmd.name != "connect" {
		return Connect{}, fmt.Errorf("%w: %q before connect", ErrProtocol, cmd.name)
	}
	o, _ := amf.AsObject(cmd.arg(0))
	who := Connect{
		App: o.String("app"), TCURL: o.String("tcUrl"), FlashVersion: o.String("flashVer"), offered: parseFourCCs(o),
	}
	s.connect, s.enhanced = cmd.transaction, len(who.offered) > 0
	return who, nil
}

// Grant grants the connection. Clients with Enhanced RTMP are told the codecs that package flv supports.
func (s *ServerConn) Grant() error {
	info := append(statusInfo("status", "NetConnection.Connect.Success", "connected"),
		amf.Property{Name: "objectEncoding", Value: 0.0})
	if s.enhanced {
		info = append(info, acceptedCodecs.properties()...)
	}
	err := s.conn.post(
		windowMessage(),
		outgoing{chunk: chunkControl, kind: typePeerBandwidth, payload: peerBandwidth()},
		chunkSizeMessage(),
		call("_result", s.connect,
			amf.Object{{Name: "fmsVer", Value: "FMS/3,0,1,123"}, {Name: "capabilities", Value: 31.0}},
			info,
		),
	)
	if err != nil {
		return fmt.Errorf("answer connect: %w", err)
	}
	return nil
}

// Reject refuses the connection. The client is to close it.
func (s *ServerConn) Reject(description string) error {
	return s.conn.post(call("_error", s.connect, nil, statusInfo("error", "NetConnection.Connect.Rejected", description)))
}

// peerBandwidth is the body of Set Peer Bandwidth (RTMP 1.0, 5.4.5): the client may send peerWindow bytes that are not acknowledged. The limit
// type is dynamic, so the client may ignore it.
func peerBandwidth() []byte { return append(binary.BigEndian.AppendUint32(nil, peerWindow), 2) }

// statusInfo makes an information object.
func statusInfo(level, code, description string) amf.Object {
	return amf.Object{
		{Name: "level", Value: level},
		{Name: "code", Value: code},
		{Name: "description", Value: description},
	}
}

// Next answers the client's commands until it asks to publish or play.
func (s *ServerConn) Next() (Request, error) {
	for {
		m, err := s.nextCommand()
		if err != nil {
			return Request{}, err
		}
		cmd, err := parseCommand(m)
		if err != nil {
			return Request{}, err
		}
		switch cmd.name {
		case "publish":
			return s.request(Publish, cmd), nil
		case "play":
			return s.request(Play, cmd), nil
		}
		if err := s.answer(cmd); err != nil && !errors.Is(err, ErrStreamClosed) {
			return Request{}, err
		}
	}
}

func (s *ServerConn) request(verb Verb, cmd command) Request {
	s.streamID, s.verb, s.denied = cmd.streamID, verb, nil
	s.open.Store(true)
	return Request{Verb: verb, Name: cmd.text(1)}
}

// nextCommand returns the next command and skips all other messages.
func (s *ServerConn) nextCommand() (Message, error) {
	for {
		m, err := s.conn.next()
		if err != nil || m.Type == typeCommand || m.Type == typeCommandAMF3 {
			return m, err
		}
	}
}

// Start grants the request that Next returned. From then on a publisher may send messages of the size of frames. Nothing may be read meanwhile.
func (s *ServerConn) Start() error {
	if s.verb == Publish {
		s.conn.chunks.expectMedia()
		return s.conn.post(
			userControl(eventStreamBegin, s.streamID),
			s.status("status", "NetStream.Publish.Start", "publishing"),
		)
	}
	return s.conn.post(
		userControl(eventStreamBegin, s.streamID),
		s.status("status", "NetStream.Play.Reset", "playing and resetting"),
		s.status("status", "NetStream.Play.Start", "playing"),
	)
}

// Refuse refuses the request that Next returned, with a code such as "NetStream.Publish.BadName" or "NetStream.Play.StreamNotFound". The client
// may ask again.
func (s *ServerConn) Refuse(code, description string) error {
	s.open.Store(false)
	return s.conn.post(s.status("error", code, description))
}

// EndPlay tells a player that its stream has ended.
func (s *ServerConn) EndPlay() error {
	return s.conn.post(
		s.status("status", "NetStream.Play.UnpublishNotify", "the stream has ended"),
		userControl(eventStreamEOF, s.streamID),
		s.status("status", "NetStream.Play.Stop", "the stream has ended"),
	)
}

// EndPublish tells a publisher that its stream is not accepted any more.
func (s *ServerConn) EndPublish(description string) error {
	return s.conn.post(s.status("error", "NetStream.Publish.Rejected", description))
}

func (s *ServerConn) status(level, code, description string) outgoing {
	return streamCall(s.streamID, "onStatus", 0, nil, statusInfo(level, code, description))
}

// Stray reports whether a message of ReadMedia belongs to another stream of the connection than the granted one. If a publisher sends media on
// a stream that it neither created nor asked for, the media counts for the granted stream.
func (s *ServerConn) Stray(m Message) bool {
	if m.StreamID == s.streamID {
		return false
	}
	made := func(id uint32) bool { return id > 0 && id <= uint32(s.created) }
	return made(m.StreamID) && made(s.streamID) || slices.Contains(s.denied, m.StreamID)
}

// ReadMedia returns the next audio, video or data message of the publisher and answers all other messages. The caller may keep the Payload. It
// returns ErrStreamClosed when the stream is over.
func (s *ServerConn) ReadMedia() (Message, error) {
	for {
		if len(s.queued) > 0 {
			m := s.queued[0]
			s.queued = s.queued[1:]
			return m, nil
		}
		m, err := s.conn.next()
		if err != nil {
			return Message{}, err
		}
		switch m.Type {
		case flv.TypeAudio, flv.TypeVideo, flv.TypeData:
			return m, nil
		case typeAggregate:
			if s.queued, err = splitAggregate(m); err != nil {
				return Message{}, err
			}
		case typeCommand, typeCommandAMF3:
			cmd, err := parseCommand(m)
			if err != nil {
				continue // the stream is what matters
			}
			if err := s.answer(cmd); err != nil {
				return Message{}, err
			}
		}
	}
}

// ReadPause answers the commands of a player and returns when the player pauses or resumes the stream. It returns ErrStreamClosed when the
// player ends the stream.
func (s *ServerConn) ReadPause() (paused bool, err error) {
	for {
		m, err := s.nextCommand()
		if err != nil {
			return false, err
		}
		cmd, err := s.command(m)
		if err != nil {
			return false, err
		}
		if cmd.name == "pause" || cmd.name == "pauseRaw" {
			paused, _ = cmd.arg(1).(bool)
			return paused, nil
		}
	}
}

// command reads and answers a command during a stream.
func (s *ServerConn) command(m Message) (command, error) {
	cmd, err := parseCommand(m)
	if err != nil {
		return command{}, err
	}
	return cmd, s.answer(cmd)
}

// answer answers all commands but publish and play.
func (s *ServerConn) answer(cmd command) error {
	switch cmd.name {
	case "createStream":
		if s.created++; s.created > maxStreams {
			return fmt.Errorf("%w: too many streams on a connection", ErrProtocol)
		}
		return s.result(cmd, float64(s.created))
	case "deleteStream", "closeStream":
		return s.closeStream(cmd)
	case "getStreamLength":
		return s.result(cmd, 0.0) // live
	case "publish", "play":
		if cmd.streamID != s.streamID && !slices.Contains(s.denied, cmd.streamID) && len(s.denied) < maxStreams {
			s.denied = append(s.denied, cmd.streamID)
		}
		return s.conn.post(streamCall(cmd.streamID, "onStatus", 0, nil,
			statusInfo("error", "NetStream.Failed", "one stream at a time on a connection")))
	case "pause", "pauseRaw":
		if paused, _ := cmd.arg(1).(bool); paused {
			return s.conn.post(s.status("status", "NetStream.Pause.Notify", "paused"))
		}
		return s.conn.post(s.status("status", "NetStream.Unpause.Notify", "going on"))
	case "seek":
		// A live stream cannot seek, but players wait for this answer.
		return s.conn.post(s.status("status", "NetStream.Seek.Notify", "live"))
	case "FCPublish":
		return s.fcStatus(cmd, "onFCPublish", "NetStream.Publish.Start")
	case "FCUnpublish":
		return s.fcStatus(cmd, "onFCUnpublish", "NetStream.Unpublish.Success")
	default:
		// releaseStream, FCSubscribe, _checkbw and other commands that clients send to every server.
		return s.result(cmd, amf.Undefined{})
	}
}

// fcStatus answers the commands that Adobe's encoders send beside publish. They wait for these answers.
func (s *ServerConn) fcStatus(cmd command, name, code string) error {
	if err := s.conn.post(call(name, 0, nil, statusInfo("status", code, cmd.text(1)))); err != nil {
		return err
	}
	return s.result(cmd, amf.Undefined{})
}

// result answers a command if it asks for an answer.
func (s *ServerConn) result(cmd command, value any) error {
	if cmd.transaction == 0 {
		return nil
	}
	return s.conn.post(call("_result", cmd.transaction, nil, value))
}

// closeStream ends the stream if the command means it. deleteStream names it, closeStream is sent on it.
func (s *ServerConn) closeStream(cmd command) error {
	id := cmd.streamID
	if cmd.name == "deleteStream" {
		if n, ok := cmd.arg(1).(float64); ok && n >= 0 && n <= maxStreams {
			id = uint32(n)
		}
	}
	if id != s.streamID || !s.open.CompareAndSwap(true, false) {
		return nil
	}
	if s.verb == Publish {
		if err := s.conn.post(s.status("status", "NetStream.Unpublish.Success", "unpublished")); err != nil {
			return err
		}
	}
	return ErrStreamClosed
}

// WriteTags sends tags to a player in one Write, or in several if they are large. It does not keep the payloads.
func (s *ServerConn) WriteTags(tags []flv.Tag) error { return s.conn.writeTags(s.streamID, tags) }

// BytesSent returns the bytes written to the connection so far.
func (s *ServerConn) BytesSent() int64 { return s.conn.BytesSent() }

// BytesReceived returns the bytes read from the connection so far.
func (s *ServerConn) BytesReceived() int64 { return s.conn.BytesReceived() }

// splitAggregate splits an aggregate message into its FLV tags (RTMP 1.0, 7.1.6). The times of the tags are relative to that of the first tag.
func splitAggregate(m Message) ([]Message, error) {
	var parts []Message
	var first uint32
	for b := m.Payload; len(b) > 0; {
		if len(b) < 11 {
			return nil, fmt.Errorf("%w: aggregate message ends early", ErrProtocol)
		}
		size, time := int(uint24(b[1:])), uint24(b[4:])|uint32(b[7])<<24
		if len(b) < 11+size {
			return nil, fmt.Errorf("%w: aggregate message ends early", ErrProtocol)
		}
		if len(b) == len(m.Payload) {
			first = time
		}
		if kind := b[0]; kind == flv.TypeAudio || kind == flv.TypeVideo || kind == flv.TypeData {
			parts = append(parts, Message{
				Type: kind, StreamID: m.StreamID, Time: m.Time + time - first,
				Payload: b[11 : 11+size : 11+size], // without spare capacity, so that appending does not overwrite the next tag
			})
		}
		b = b[min(len(b), 11+size+4):] // the size is repeated after the tag
	}
	return parts, nil
}
