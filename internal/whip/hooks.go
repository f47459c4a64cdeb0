package whip

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"transponder/internal/access"
	"transponder/internal/hook"
	"transponder/internal/rtc"
	"transponder/internal/stream"
)

// Hooks asks the backends of applications. hook.Hooks is one.
type Hooks interface {
	Open(c hook.Client) (*hook.Session, error)
}

// open makes the session of a request with the application that the request names (appKey). id is the public id of the session.
func (p protocol) open(r *http.Request, c client, id string) (*hook.Session, error) {
	if p.server.parts.Hooks == nil {
		return nil, nil
	}
	return p.server.parts.Hooks.Open(hook.Client{
		AppKey: r.URL.Query().Get("appKey"), SessionID: id, Door: p.name, Peer: c.shown.Peer, Address: r.RemoteAddr,
	})
}

// connection returns what the backend of an application is told of a client that connects. A stored key is ours, and no backend gets it.
func (c client) connection() hook.Connection {
	members := hook.Object{"mediaProviders": json.RawMessage(`["WebRTC"]`)}
	if c.token != "" && !strings.HasPrefix(c.token, access.KeyPrefix) {
		custom, _ := json.Marshal(map[string]string{"token": c.token}) // a text always encodes
		members["custom"] = custom
	}
	return hook.Connection{Members: members, Origin: c.shown.Origin}
}

// asked returns what the backend of an application is told of a stream that a client wants to publish or to play.
func (p protocol) asked(name, id, offer string) hook.Stream {
	return hook.Stream{
		MediaSessionID: id, Name: name, Published: p.action == access.Publish, Status: "PENDING", SDP: offer,
		HasVideo: strings.Contains(offer, "\nm=video"), HasAudio: strings.Contains(offer, "\nm=audio"), MediaProvider: "WebRTC", Transport: "UDP",
	}
}

// reserve keeps others from publishing under a name while a backend is asked whether the client may. free frees the name; it is not nil.
func (p protocol) reserve(x *session, name string) (free func(), err error) {
	if p.action != access.Publish || !x.hooks.HasBackend() {
		return func() {}, nil
	}
	free, err = p.server.parts.Asked.Reserve(name)
	if err != nil {
		return func() {}, err
	}
	return free, nil
}

// method returns the hook of a request.
func (p protocol) method() hook.Method {
	if p.action == access.Publish {
		return hook.PublishStream
	}
	return hook.PlayStream
}

// report tells the backend that the stream has begun, when it has. ctx is that of the session.
func (x *session) report(ctx context.Context) {
	begun, status := begins(x.media)
	select {
	case <-begun:
	case <-ctx.Done():
		return
	}
	now := x.described(status, "")
	x.hooks.Tell(hook.StreamStatusEvent, now, x.cancel)
	stop := x.hooks.KeepAlive(func() hook.Stream { return now }, x.cancel)
	defer stop()
	<-ctx.Done()
}

// begins returns what is closed when the media of a session has begun, and the status from then on.
func begins(media connection) (begun <-chan struct{}, status string) {
	switch m := media.(type) {
	case Publication:
		if src := m.Source(); src != nil {
			return src.Live(), hook.StatusPublishing
		}
	case Playback:
		return m.Connected(), hook.StatusPlaying
	}
	return nil, ""
}

// reportEnd tells the backend why the session has ended, after report.
func (x *session) reportEnd(err error) {
	asked := errors.Is(err, errDeleted)
	status, info := hook.StatusFailed, err.Error()
	if asked || errors.Is(err, rtc.ErrClientClosed) {
		status, info = hook.StatusUnpublished, ""
		if x.playback != nil {
			status = hook.StatusStopped
		}
	}
	st := x.described(status, info)
	switch {
	case asked && x.playback == nil:
		x.hooks.Tell(hook.UnPublishStream, st, nil)
	case asked:
		x.hooks.Tell(hook.StopStream, st, nil)
	}
	x.hooks.Tell(hook.StreamStatusEvent, st, nil)
	x.hooks.Close(info)
}

// described returns the stream with a status, as backends are told it.
func (x *session) described(status, info string) hook.Stream {
	st := x.stream
	st.Status, st.Info, st.SDP = status, info, ""
	return st
}

// pushed starts the push that a backend has asked for. The stream goes on if the push does not start.
func (s *Server) pushed(ctx context.Context, x *session, src *stream.Source) {
	if x.stream.RTMPURL == "" || s.parts.Push == nil || src == nil {
		return
	}
	if err := s.parts.Push(ctx, x.owner.who, src.Info().Name, x.stream.RTMPURL); err != nil {
		x.log.Warn("the push that the application's backend asked for does not start", "err", err)
	}
}
