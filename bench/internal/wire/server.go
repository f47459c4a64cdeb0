package wire

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
)

// Publication receives what one publisher sends.
type Publication interface {
	Message(Message)
	// Close ends it; clean says whether the publisher said goodbye.
	Close(clean bool)
}

// Handler begins a publication.
type Handler func(app, name string) (Publication, error)

const publishStreamID = 1

// Serve speaks to one client until it leaves.
func Serve(nc net.Conn, handle Handler) error {
	defer nc.Close()
	c := newConn(nc)
	if err := c.handshake(); err != nil {
		return err
	}
	s := session{conn: c, handle: handle}
	err := s.loop()
	if s.pub != nil {
		s.pub.Close(false)
	}
	return err
}

type session struct {
	*conn
	handle Handler
	app    string
	pub    Publication
}

func (s *session) loop() error {
	for {
		m, err := s.readMessage()
		if err != nil {
			return err
		}
		switch m.Type {
		case TypeCommandAMF0, TypeCommandAMF3:
			b := m.Payload
			if m.Type == TypeCommandAMF3 && len(b) > 0 {
				b = b[1:]
			}
			args, err := decodeAMF(b)
			if err != nil && len(args) < 2 {
				return err
			}
			if err := s.command(args); err != nil {
				return err
			}
		case TypeUserControl:
			if err := s.userControl(m.Payload); err != nil {
				return err
			}
		default:
			if s.pub != nil {
				s.pub.Message(m)
			}
		}
	}
}

// userControl answers pings.
func (s *session) userControl(b []byte) error {
	const pingRequest, pingResponse = 6, 7
	if len(b) < 6 || binary.BigEndian.Uint16(b) != pingRequest {
		return nil
	}
	return s.write(2, TypeUserControl, 0, append([]byte{0, pingResponse}, b[2:6]...))
}

func (s *session) command(args []any) error {
	if len(args) < 2 {
		return nil
	}
	name, _ := args[0].(string)
	txn, _ := args[1].(float64)
	switch name {
	case "connect":
		if len(args) > 2 {
			object, _ := args[2].(Object)
			s.app, _ = object["app"].(string)
		}
		return s.accept(txn)
	case "createStream":
		return s.reply("_result", txn, nil, float64(publishStreamID))
	case "publish":
		return s.publish(args)
	case "FCUnpublish", "deleteStream", "closeStream":
		if s.pub != nil {
			s.pub.Close(true)
			s.pub = nil
		}
	}
	return nil
}

func (s *session) accept(txn float64) error {
	var b4 [4]byte
	binary.BigEndian.PutUint32(b4[:], ackWindow)
	if err := s.write(2, TypeWindowAckSize, 0, b4[:]); err != nil {
		return err
	}
	if err := s.write(2, TypePeerBandwidth, 0, append(b4[:4:4], 2)); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(b4[:], outChunkSize)
	if err := s.write(2, TypeSetChunkSize, 0, b4[:]); err != nil {
		return err
	}
	s.outChunk = outChunkSize
	return s.reply("_result", txn,
		[]Pair{{"fmsVer", "FMS/3,0,1,123"}, {"capabilities", 31.0}},
		[]Pair{
			{"level", "status"}, {"code", "NetConnection.Connect.Success"},
			{"description", "Connection succeeded."}, {"objectEncoding", 0.0},
		})
}

func (s *session) publish(args []any) error {
	name := ""
	if len(args) > 3 {
		name, _ = args[3].(string)
	}
	name, _, _ = strings.Cut(name, "?")
	if s.pub != nil {
		return fmt.Errorf("second publish %q", name)
	}
	pub, err := s.handle(strings.Trim(s.app, "/"), name)
	if err != nil {
		return err
	}
	s.pub = pub
	streamBegin := []byte{0, 0, 0, 0, 0, publishStreamID}
	if err := s.write(2, TypeUserControl, 0, streamBegin); err != nil {
		return err
	}
	body := appendAMF(nil, "onStatus", 0.0, nil, []Pair{
		{"level", "status"}, {"code", "NetStream.Publish.Start"}, {"description", name + " is now published."},
	})
	return s.write(5, TypeCommandAMF0, publishStreamID, body)
}

func (s *session) reply(values ...any) error {
	return s.write(3, TypeCommandAMF0, 0, appendAMF(nil, values...))
}
