package wcs

import (
	"context"
	"encoding/json"
	"errors"

	"transponder/internal/access"
	"transponder/internal/hook"
	"transponder/internal/load"
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

// handle handles a message of a page. The page may send it as soon as it knows that its session is established, which may be a moment before
// begin has done the rest.
func (s *session) handle(ctx context.Context, name string, data json.RawMessage) {
	select {
	case <-s.begun:
	case <-s.done:
		return
	}
	s.log.Debug("message received", "message", short(name), "bytes", len(data))
	switch name {
	case "publishStream":
		with(s, name, data, func(req mediaRequest) { s.startPublisher(ctx, req) })
	case "unPublishStream":
		with(s, name, data, s.handleUnpublish)
	case "playStream":
		with(s, name, data, func(req mediaRequest) { s.startPlayer(ctx, req) })
	case "stopStream":
		with(s, name, data, s.handleStop)
	case "restartIce":
		with(s, name, data, func(req restartRequest) { s.handleRestart(ctx, req) })
	case "availableStream":
		with(s, name, data, s.handleAvailable)
	case "snapshot":
		with(s, name, data, func(ref streamRef) { s.handleSnapshot(ctx, ref) })
	case "sendStreamEvent":
		with(s, name, data, s.handleStreamEvent)
	case "sendData":
		with(s, name, data, func(m dataRequest) { s.handleData(ctx, m) })
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

// handleConnection takes the first message of a page. The page gets the message back with an authToken when it has a session: this tells the
// SDK that the session is established. A page that brings an authToken returns to its session instead.
func (k *socket) handleConnection(ctx context.Context, data json.RawMessage) {
	if k.greeted.Load() {
		k.ignore("second connection") // an answer would set the page back to ESTABLISHED
		return
	}
	if len(data) > maxConnection {
		k.ignore("too big", "message", "connection")
		return
	}
	var g greeting
	if json.Unmarshal(data, &g.echo) != nil || g.echo == nil || json.Unmarshal(data, &g.connection) != nil {
		k.ignore("no object in data", "message", "connection")
		return
	}
	if len(g.Custom) > maxCustom {
		k.ignore("too big", "message", "connection")
		return
	}
	g.data = data
	k.greeted.Store(true)
	k.greet(ctx, g)
}

// failure tells the page that a request failed.
type failure struct {
	APIMethod string `json:"apiMethod"`
	ID        string `json:"id,omitempty"`
	Status    string `json:"status"`
	Info      string `json:"info"`
	Reason    string `json:"reason,omitempty"` // an addition to the contract: why access was refused
}

// refusePlay tells the page that nothing is played. A page that may not play the stream gets the answer for a stream that does not exist: which
// streams there are is not for strangers.
func (s *session) refusePlay(a *asking, req mediaRequest, err error) {
	status, info := outcomeOfPlay(err)
	if status == failed {
		s.srv.count.playFailed.Add(1)
		s.log.Warn("play refused", "stream", short(string(req.Name)), "err", err)
	}
	d := s.describe(req.echoable(), status, info)
	if isDenied(err) {
		_, d.Info = outcomeOfPlay(errNoStream)
	}
	if !errors.Is(err, access.ErrNone) {
		d.Reason = reasonOf(err)
	}
	s.sendLast("notifyStreamStatusEvent", s.forPage(d))
	if a.isKnown() {
		s.tellBackend(d, a.forHook().Name, nil)
	}
}

// handleStop ends a player. The goroutine of the player sends the status. An id that is unknown, or whose player has ended, is ignored.
func (s *session) handleStop(ref streamRef) {
	if a := s.streams.asked(string(ref.MediaSessionID), false); a != nil {
		s.hook.Tell(hook.StopStream, a.forHook(), nil)
		a.stop(errStopped)
		return
	}
	if p := s.streams.player(string(ref.MediaSessionID)); p != nil {
		p.tellEnd()
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
	case s.may(s.caller(), access.Play, access.Object{Stream: string(ref.Name)}) != nil, !found:
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

// refusePublish tells the page that a stream was not begun.
func (s *session) refusePublish(a *asking, req mediaRequest, err error) {
	status, info := outcome(err)
	if status == failed {
		s.srv.count.publishFailed.Add(1)
		s.log.Warn("publish refused", "stream", short(string(req.Name)), "err", err)
	}
	d := s.describe(req.echoable(), status, info).ofPublisher()
	d.Reason = reasonOf(err)
	if elsewhere := s.srv.parts.Elsewhere; elsewhere != nil && errors.Is(err, load.ErrFull) {
		if d.Elsewhere = elsewhere(); d.Elsewhere != "" {
			d.Reason = "this server takes no new streams; another one does: " + d.Elsewhere // our SDK shows it to the page as error.info
		}
	}
	s.sendLast("notifyStreamStatusEvent", s.forPage(d))
	if a.isKnown() {
		s.tellBackend(d, a.forHook().Name, nil)
	}
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
	if a := s.streams.asked(string(ref.MediaSessionID), true); a != nil {
		s.hook.Tell(hook.UnPublishStream, a.forHook(), nil)
		a.stop(errStopped)
		return
	}
	if p := s.streams.publisher(string(ref.MediaSessionID)); p != nil {
		p.tellEnd()
		p.stop(errStopped)
	}
}
