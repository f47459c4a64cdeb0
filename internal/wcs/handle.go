package wcs

import (
	"context"
	"encoding/json"
)

// webRTC is the one media provider of browsers that this door serves; the others are ways of playing.
const webRTC = "WebRTC"

// handle does what one message asks for. Names that are not known are ignored, as the SDK ignores ours.
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
		k.handleConnection(data)
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
		with(s, name, data, func(c callRef) { s.handleCall(name, c) })
	case "pushLogs", "submitBugReport", "sessionDebug", "webRTCMetricsClientDescription", "webRTCMetricsBatch":
	default:
		s.ignore("unknown", "message", short(name))
	}
}

// with hands data to f as a T. Fields are lenient, so what fails here is no object at all.
func with[T any](s *session, name string, data json.RawMessage, f func(T)) {
	v := new(*T) // null leaves it nil
	if len(data) == 0 || json.Unmarshal(data, v) != nil || *v == nil {
		s.ignore("no object in data", "message", short(name))
		return
	}
	f(**v)
}

// short keeps what a browser made up from filling the log.
func short(name string) string {
	const most = 64
	if len(name) > most {
		return name[:most] + "…"
	}
	return name
}

// What is kept of every browser that says who it is. The SDK's own members take 2 kB; custom may hold a token.
const (
	maxConnection = 16 << 10
	maxCustom     = 8 << 10
)

// handleConnection takes what the browser says of itself and gives it back with a token, which is how the SDK learns that
// the session is established. A browser that has a token returns to its session instead.
func (k *socket) handleConnection(data json.RawMessage) {
	if k.session.Load() != nil {
		k.ignore("second connection") // to answer it would take the page back to ESTABLISHED
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
	s := newSession(k, c, echo)
	k.srv.remember(s)
	k.session.Store(s)
	s.log.Info("session opened", "peer", k.peer,
		"app", short(string(c.AppKey)), "client", short(string(c.ClientVersion)), "origin", short(k.origin))
	k.send("getUserData", echo)
	if c.SIPLogin != "" {
		k.send("fail", failure{APIMethod: "connection", Status: failed, Info: noSIP})
	}
}

// failure is a warning to the page that a request came to nothing.
type failure struct {
	APIMethod string `json:"apiMethod"`
	ID        string `json:"id,omitempty"`
	Status    string `json:"status"`
	Info      string `json:"info"`
}

const noSIP = "SIP is not available on this server"

// callRef names a call.
type callRef struct {
	CallID text `json:"callId"`
}

// callStatus is the call object, as far as the SDK reads it.
type callStatus struct {
	CallID string `json:"callId"`
	Status string `json:"status"`
}

// handleCall ends every call at once: this server has no SIP.
func (s *session) handleCall(name string, c callRef) {
	id := string(c.CallID)
	switch name {
	case "call", "answer":
		s.send("finish", callStatus{id, failed})
	case "hangup":
		s.send("finish", callStatus{id, "FINISH"})
	default:
		s.send("fail", failure{APIMethod: name, ID: id, Status: failed, Info: noSIP})
	}
}

func (s *session) handlePlay(ctx context.Context, req mediaRequest) {
	err := s.startPlayer(ctx, req)
	if err == nil {
		return
	}
	s.srv.count.playFailed.Add(1)
	s.log.Warn("play refused", "stream", short(string(req.Name)), "err", err)
	status, info := outcomeOfPlay(err)
	s.sendLast(s.describe(req.echoable(), status, info))
}

// handleStop ends a player; its goroutine sends the status. An id that is unknown, or already over, is none of ours.
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

// reason is the payload of events that say that something failed.
type reason struct {
	Info string `json:"info"`
}

// The events that a page may send of its stream.
const (
	dataEvent    = "data"
	audioMuted   = "audioMuted"
	audioUnmuted = "audioUnmuted"
	videoMuted   = "videoMuted"
	videoUnmuted = "videoUnmuted"
)

// maxPayload bounds what a publisher can make the server send to each of its players.
const maxPayload = 64 << 10

// handleStreamEvent gives what a publisher says to its players. The SDK of those has its own ideas of other types, so no page
// may send them.
func (s *session) handleStreamEvent(e eventRequest) {
	p := s.streams.publisher(string(e.MediaSessionID))
	kind := string(e.Type)
	switch {
	case p == nil: // the SDK of a player says so, too, when its page mutes what it plays
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

// handleData takes a page's data for the server's application, of which there is none: the page waits for the answer.
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
	s.sendLast(s.describe(req.echoable(), status, info).ofPublisher())
}

// echoable is the request without an id that is not worth sending back.
func (r mediaRequest) echoable() mediaRequest {
	if len(r.MediaSessionID) > maxID {
		r.MediaSessionID = ""
	}
	return r
}

// handleUnpublish ends a stream; its goroutine sends the status. An id that is unknown, or already over, is none of ours.
func (s *session) handleUnpublish(ref streamRef) {
	if p := s.streams.publisher(string(ref.MediaSessionID)); p != nil {
		p.stop(errStopped)
	}
}
