package wcs

import (
	"context"
	"encoding/json"
)

// webRTC is the only media provider of the SDK that this door serves. The others are other ways to play.
const webRTC = "WebRTC"

// handle handles one message. Unknown names are ignored, as the SDK ignores those that it does not know.
func (k *socket) handle(ctx context.Context, raw []byte) {
	name, data, ok := decode(raw)
	if !ok {
		k.ignore("not a message")
		return
	}
	switch name {
	case "pong":
	case "ping":
		k.send("pong")
	case "connection":
		k.handleConnection(ctx, data)
	default:
		s := k.session.Load()
		if s == nil {
			k.ignore("sent before connection", "message", short(name))
			return
		}
		s.safely(func() { s.handle(ctx, name, data) })
	}
}

func (s *session) handle(ctx context.Context, name string, data json.RawMessage) {
	s.log.Debug("message received", "message", short(name), "bytes", len(data))
	switch name {
	case "publishStream":
		with(s, name, data, func(req mediaRequest) { s.handlePublish(ctx, req) })
	case "unPublishStream":
		with(s, name, data, s.handleUnpublish)
	case "playStream":
		with(s, name, data, func(req mediaRequest) { s.handlePlay(ctx, req) })
	case "stopStream":
		with(s, name, data, s.handleStop)
	case "availableStream":
		with(s, name, data, s.handleAvailable)
	case "snapshot":
		with(s, name, data, func(ref streamRef) { s.handleSnapshot(ctx, ref) })
	case "sendStreamEvent":
		with(s, name, data, s.handleStreamEvent)
	case "sendData":
		with(s, name, data, s.handleData)
	case "call", "answer", "hangup", "hold", "unhold", "sendDtmf", "transfer":
		s.handleCallMessage(name, data)
	case "pushLogs", "submitBugReport", "sessionDebug", "webRTCMetricsClientDescription", "webRTCMetricsBatch":
	default:
		s.ignore("unknown", "message", short(name))
	}
}

// with decodes data as a T and calls f. The types of the fields accept all values, so decoding fails only if data is no object.
func with[T any](s *session, name string, data json.RawMessage, f func(T)) {
	v := new(*T) // JSON null leaves the inner pointer nil
	if len(data) == 0 || json.Unmarshal(data, v) != nil || *v == nil {
		s.ignore("no object in data", "message", short(name))
		return
	}
	f(**v)
}

// short cuts texts that a browser sent, so that they do not fill the log.
func short(name string) string {
	const most = 64
	if len(name) > most {
		return name[:most] + "…"
	}
	return name
}

// Limits of the connection message, which is kept for each session. The members of the SDK take 2 kB; custom may hold a token.
const (
	maxConnection = 16 << 10
	maxCustom     = 8 << 10
)

// handleConnection makes a session. It sends the message back with a token: this tells the SDK that the session is established. A
// browser that brings a token returns to its session instead.
func (k *socket) handleConnection(ctx context.Context, data json.RawMessage) {
	if k.session.Load() != nil {
		k.ignore("second connection") // an answer would set the page back to ESTABLISHED
		return
	}
	if len(data) > maxConnection {
		k.ignore("too big", "message", "connection")
		return
	}
	var c connection
	var echo map[string]json.RawMessage
	if json.Unmarshal(data, &echo) != nil || echo == nil || json.Unmarshal(data, &c) != nil {
		k.ignore("no object in data", "message", "connection")
		return
	}
	if len(c.Custom) > maxCustom {
		k.ignore("too big", "message", "connection")
		return
	}
	if c.AuthToken != "" {
		if s, ok := k.srv.toReturnTo(string(c.AuthToken)); !ok || !s.attach(k) {
			k.end(errAuthToken)
		}
		return
	}
	if c.AppKey == "" {
		c.AppKey = "defaultApp"
	}
	if string(c.Custom) == "null" {
		c.Custom = nil
	}
	account, err := takeAccount(data, echo)
	s := newSession(k, c, echo)
	k.srv.remember(s)
	k.session.Store(s)
	s.log.Info("session opened", "peer", k.peer,
		"app", short(string(c.AppKey)), "client", short(string(c.ClientVersion)), "origin", short(k.origin))
	k.send("getUserData", echo)
	s.openPhone(ctx, k.host, account, err)
}

// failure tells the page that a request failed.
type failure struct {
	APIMethod string `json:"apiMethod"`
	ID        string `json:"id,omitempty"`
	Status    string `json:"status"`
	Info      string `json:"info"`
}

func (s *session) handlePlay(ctx context.Context, req mediaRequest) {
	err := s.startPlayer(ctx, req)
	if err == nil {
		return
	}
	s.srv.count.playFailed.Add(1)
	s.log.Warn("play refused", "stream", short(string(req.Name)), "err", err)
	status, info := outcomeOfPlay(err)
	s.sendLast("notifyStreamStatusEvent", s.describe(req.echoable(), status, info))
}

// handleStop ends a player. The goroutine of the player sends the status. An id that is unknown, or whose player has ended, is ignored.
func (s *session) handleStop(ref streamRef) {
	if p := s.streams.player(string(ref.MediaSessionID)); p != nil {
		p.stop(errStopped)
	}
}

// availability answers availableStream.
type availability struct {
	ID     string `json:"id"`
	Status string `json:"status"` // a string: the SDK takes the boolean true for a refusal
	Info   string `json:"info,omitempty"`
}

func (s *session) handleAvailable(ref streamRef) {
	a := availability{ID: string(ref.MediaSessionID), Status: "true"}
	src, found := s.srv.parts.Streams.Source(string(ref.Name))
	switch {
	case !found:
		a.Status, a.Info = "false", "Stream not found"
	case !src.IsLive():
		a.Status, a.Info = "false", "Publish stream is not ready"
	}
	s.send("availableStream", a)
}

// streamEvent is the object of notifyStreamEvent.
type streamEvent struct {
	MediaSessionID string `json:"mediaSessionId"`
	Type           string `json:"type"`
	Payload        any    `json:"payload,omitempty"`
}

// reason is the payload of events about a failure.
type reason struct {
	Info string `json:"info"`
}

// The events that a page may send about its stream.
const (
	dataEvent    = "data"
	audioMuted   = "audioMuted"
	audioUnmuted = "audioUnmuted"
	videoMuted   = "videoMuted"
	videoUnmuted = "videoUnmuted"
)

// maxPayload is the longest payload of an event, which goes to each player of the stream.
const maxPayload = 64 << 10

// handleStreamEvent passes an event from a publisher to its players. Only the types below are accepted: the SDK of a player gives
// meanings of its own to other types.
func (s *session) handleStreamEvent(e eventRequest) {
	p := s.streams.publisher(string(e.MediaSessionID))
	kind := string(e.Type)
	switch {
	case p == nil: // the SDK sends the event also when a page mutes what it plays
		s.ignore("event of a stream that is not published here")
		return
	case len(e.Payload) > maxPayload:
		s.ignore("too big", "message", "sendStreamEvent")
		return
	}
	switch kind {
	case dataEvent:
	case audioMuted, audioUnmuted, videoMuted, videoUnmuted:
		p.mute(kind)
	default:
		s.ignore("unknown", "event", short(kind))
		return
	}
	var payload any // nil is left out
	if len(e.Payload) > 0 && string(e.Payload) != "null" {
		payload = e.Payload
	}
	for _, player := range s.srv.participants.playersOf(p.media.Source()) {
		player.event(kind, payload)
	}
}

// dataRef names what sendData sent.
type dataRef struct {
	OperationID text `json:"operationId"`
}

// dataStatus is the object of DataStatusEvent.
type dataStatus struct {
	OperationID string `json:"operationId"`
	Status      string `json:"status"`
}

// handleData confirms data that a page sends to the application of the server. There is no application, but the page waits for the
// confirmation.
func (s *session) handleData(m dataRef) {
	if m.OperationID == "" {
		s.ignore("sendData without operationId")
		return
	}
	s.send("DataStatusEvent", dataStatus{string(m.OperationID), "ACCEPTED"})
}

func (s *session) handlePublish(ctx context.Context, req mediaRequest) {
	if err := s.startPublisher(ctx, req); err != nil {
		s.refusePublish(req, err)
	}
}

func (s *session) refusePublish(req mediaRequest, err error) {
	status, info := outcome(err)
	s.srv.count.publishFailed.Add(1)
	s.log.Warn("publish refused", "stream", short(string(req.Name)), "err", err)
	s.sendLast("notifyStreamStatusEvent", s.describe(req.echoable(), status, info).ofPublisher())
}

// echoable returns the request, without its id if the id is too long to be sent back.
func (r mediaRequest) echoable() mediaRequest {
	if len(r.MediaSessionID) > maxID {
		r.MediaSessionID = ""
	}
	return r
}

// handleUnpublish ends a stream. The goroutine of the publisher sends the status. An id that is unknown, or whose stream has ended, is
// ignored.
func (s *session) handleUnpublish(ref streamRef) {
	if p := s.streams.publisher(string(ref.MediaSessionID)); p != nil {
		p.stop(errStopped)
	}
}
