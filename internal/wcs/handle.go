package wcs

import (
	"context"
	"encoding/json"
	"errors"

	"transponder/internal/stream"
)

// webRTC is the one media provider of browsers that this door serves; the others are ways of playing.
const webRTC = "WebRTC"

// handle does what one message asks for. Names that are not known are ignored, as the SDK ignores ours.
func (s *session) handle(ctx context.Context, raw []byte) {
	name, data, ok := decode(raw)
	if !ok {
		s.ignore("not a message")
		return
	}
	switch name {
	case "pong":
	case "ping":
		s.send("pong")
	case "connection":
		s.handleConnection(data)
	default:
		if !s.established() {
			s.ignore("sent before connection", "message", short(name))
			return
		}
		s.handleEstablished(ctx, name, data)
	}
}

func (s *session) handleEstablished(ctx context.Context, name string, data json.RawMessage) {
	switch name {
	case "publishStream":
		with(s, name, data, func(req mediaRequest) { s.handlePublish(ctx, req) })
	case "unPublishStream":
		with(s, name, data, s.handleUnpublish)
	case "playStream":
		with(s, name, data, s.handlePlay)
	case "availableStream":
		with(s, name, data, s.handleAvailable)
	case "snapshot":
		with(s, name, data, s.handleSnapshot)
	case "sendStreamEvent":
		with(s, name, data, s.handleStreamEvent)
	case "sendData":
		with(s, name, data, s.handleData)
	case "call", "answer", "hangup", "hold", "unhold", "sendDtmf", "transfer":
		with(s, name, data, func(c callRef) { s.handleCall(name, c) })
	case "stopStream", // there are no players yet
		"pushLogs", "submitBugReport", "sessionDebug", "webRTCMetricsClientDescription", "webRTCMetricsBatch":
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

// maxConnection bounds what is kept of every browser. The SDK's own members take 2 kB; the rest is for custom.
const maxConnection = 64 << 10

// handleConnection takes what the browser says of itself and gives it back with a token, which is how the SDK learns that
// the session is established.
func (s *session) handleConnection(data json.RawMessage) {
	if s.established() {
		s.ignore("second connection") // to answer it would take the page back to ESTABLISHED
		return
	}
	if len(data) > maxConnection {
		s.ignore("too big", "message", "connection")
		return
	}
	var c connection
	var echo map[string]json.RawMessage
	if json.Unmarshal(data, &echo) != nil || echo == nil || json.Unmarshal(data, &c) != nil {
		s.ignore("no object in data", "message", "connection")
		return
	}
	if c.AuthToken != "" {
		s.end(errAuthToken) // sessions are not kept after their socket, so there is none to return to
		return
	}
	if c.AppKey == "" {
		c.AppKey = "defaultApp"
	}
	if string(c.Custom) == "null" {
		c.Custom = nil
	}
	echo["authToken"], _ = json.Marshal(s.token) // a string always encodes

	s.mu.Lock()
	s.client = &c
	s.mu.Unlock()
	s.log.Info("session opened",
		"app", short(string(c.AppKey)), "client", short(string(c.ClientVersion)), "origin", short(s.origin))
	s.send("getUserData", echo)
	if c.SIPLogin != "" {
		s.send("fail", failure{APIMethod: "connection", Status: failed, Info: noSIP})
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

// handlePlay refuses: nothing is played over WebRTC yet.
func (s *session) handlePlay(req mediaRequest) {
	info := "Restricted access"
	src, found := s.srv.streams.Source(string(req.Name))
	switch {
	case req.MediaSessionID == "":
		info = "MediaSessionId is null"
	case req.MediaProvider != "" && req.MediaProvider != webRTC:
		info = "No common codecs"
	case !found:
		info = "Session does not exist"
	case !live(src):
		info = "Publish stream is not ready"
	}
	s.send("notifyStreamStatusEvent", s.describe(req, failed, info))
}

// availability answers availableStream.
type availability struct {
	ID     string `json:"id"`
	Status string `json:"status"` // a string: the SDK takes the boolean true for a refusal
	Info   string `json:"info,omitempty"`
}

func (s *session) handleAvailable(ref streamRef) {
	a := availability{ID: string(ref.MediaSessionID), Status: "true"}
	src, found := s.srv.streams.Source(string(ref.Name))
	switch {
	case !found:
		a.Status, a.Info = "false", "Stream not found"
	case !live(src):
		a.Status, a.Info = "false", "Publish stream is not ready"
	}
	s.send("availableStream", a)
}

// live says whether the publisher is connected.
func live(src *stream.Source) bool {
	select {
	case <-src.Live():
		return true
	default:
		return false
	}
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

// handleSnapshot refuses. The id may be of a stream that only the page knows; the answer goes to it all the same.
func (s *session) handleSnapshot(ref streamRef) {
	info := "Snapshots are not available on this server"
	if _, found := s.srv.streams.Source(string(ref.Name)); !found {
		info = "Stream not found"
	}
	s.send("notifyStreamEvent", streamEvent{string(ref.MediaSessionID), "snapshotFailed", reason{info}})
}

// handleStreamEvent notes a publisher's mute state. The event itself is for players, of which there are none yet.
func (s *session) handleStreamEvent(ref streamRef) {
	p := s.publisher(string(ref.MediaSessionID))
	if p == nil {
		s.ignore("event of an unknown stream")
		return
	}
	switch ref.Type {
	case "audioMuted", "audioUnmuted":
		p.audioMuted.Store(ref.Type == "audioMuted")
	case "videoMuted", "videoUnmuted":
		p.videoMuted.Store(ref.Type == "videoMuted")
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
	if errors.Is(err, errBadID) {
		req.MediaSessionID = "" // not worth sending back
	}
	s.log.Warn("publish refused", "stream", short(string(req.Name)), "err", err)
	s.send("notifyStreamStatusEvent", s.describe(req, status, info).ofPublisher())
}

// handleUnpublish ends a stream; its goroutine sends the status. An id that is unknown, or already over, is none of ours.
func (s *session) handleUnpublish(ref streamRef) {
	if p := s.publisher(string(ref.MediaSessionID)); p != nil {
		p.stop(errStopped)
	}
}
