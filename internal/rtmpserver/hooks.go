package rtmpserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"syscall"

	"transponder/internal/access"
	"transponder/internal/hook"
	"transponder/internal/rtmp"
	"transponder/internal/stream"
)

// Hooks asks the backends of applications. hook.Hooks is one.
type Hooks interface {
	Open(c hook.Client) (*hook.Session, error)
}

// maxParameters is how many parameters of a query are passed to a backend.
const maxParameters = 64

// parameters returns the parameters of a query as the member custom of a hook. A token is among them only if it belongs to the backend, and a
// stored key never is: it is ours.
func parameters(text string, withToken bool) json.RawMessage {
	_, query, _ := strings.Cut(text, "?")
	values := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if name == "" || name == "token" && (!withToken || strings.HasPrefix(value, access.KeyPrefix)) || len(values) >= maxParameters {
			continue
		}
		values[name] = value
	}
	custom, _ := json.Marshal(values) // texts always encode
	return custom
}

// unescape returns the text of a part of a query. + stands for itself, as in stream keys.
func unescape(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// open makes the session of the connection with the application that the connection names (appKey). If the backend of the application decides
// alone who may connect, it is asked now.
func (c *session) open(ctx context.Context) (err error) {
	if c.srv.parts.Hooks == nil {
		return nil
	}
	_, query, _ := strings.Cut(c.who.App, "?")
	app := valueOf(query, "appKey")
	if app == "" {
		app = hook.RTMPApp
	}
	remote := c.net.RemoteAddr().String()
	if c.hooks, err = c.srv.parts.Hooks.Open(hook.Client{
		AppKey: app, SessionID: "/" + remote + "/" + c.net.LocalAddr().String(), Door: door, Peer: c.peer, Address: remote,
	}); err != nil || !c.hooks.IgnoresToken() {
		return err
	}
	a := client{shown: c.shows(tokenOf(query))}
	if err := c.identify(ctx, &a); err != nil {
		return err
	}
	c.principal, err = c.connect(ctx, a.who)
	return err
}

// connect asks the backend whether the client may connect.
func (c *session) connect(ctx context.Context, who *access.Principal) (*access.Principal, error) {
	who, _, err := c.hooks.Connect(ctx, who, hook.Connection{Members: hook.Object{
		"custom": parameters(c.who.App, c.hooks.IgnoresToken()), "login": loginName(),
	}})
	if err == nil {
		c.hooks.Established(c.sever)
	}
	return who, err
}

// loginName returns the member login of a connection: Web Call Server sends 20 random letters for a client that has no login of its own.
func loginName() json.RawMessage {
	letters := make([]byte, 20)
	_, _ = rand.Read(letters) // never fails
	for i, b := range letters {
		letters[i] = 'a' + b%26 // it is no secret
	}
	text, _ := json.Marshal(string(letters)) // a text always encodes
	return text
}

// sever closes the connection because its backend demands that.
func (c *session) sever(err error) {
	c.log.Warn("rtmp connection ended by the backend of its application", "err", err)
	c.net.Close()
}

// ask asks the backend whether a client may publish or play a stream, and under which name. It returns what the backend is told of the stream
// from then on.
func (c *session) ask(ctx context.Context, do access.Action, a *client, id, key string) (hook.Stream, error) {
	st := hook.Stream{
		MediaSessionID: id, Name: a.name, Published: do == access.Publish, HasVideo: true, HasAudio: true, Status: hook.StatusNew, MediaProvider: "Flash",
		Transport: "TCP", Custom: parameters(key, c.hooks.IgnoresToken()),
	}
	method := hook.PlayStream
	if do == access.Publish {
		method = hook.PublishStream
	}
	st, err := c.hooks.Ask(ctx, method, st)
	if err != nil || st.Name == a.name {
		return st, err
	}
	a.name = st.Name // a backend gives out what its application has, and no more
	return st, c.srv.parts.Access.Authorize(a.who, a.shown, do, access.Object{Stream: a.name})
}

// tell tells the backend of a status of a stream. refused is called if the backend demands the end of the stream; nil: the stream has ended.
func (c *session) tell(st hook.Stream, status string, cause error, refused func(error)) {
	st.Status = status
	if cause != nil {
		st.Info = cause.Error()
	}
	c.hooks.Tell(hook.StreamStatusEvent, st, refused)
}

// keepAlive tells the backend from time to time that the stream is on.
func (c *session) keepAlive(st hook.Stream, status string, ended func(error)) (stop func()) {
	st.Status = status
	return c.hooks.KeepAlive(func() hook.Stream { return st }, ended)
}

// hasLeft reports whether a client has closed the connection by itself. FFmpeg unpublishes and closes at once, so that our answer fails before
// we have read that it unpublishes. If it closes before it has read all that we sent, its kernel resets the connection, and what it said last is lost.
func hasLeft(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// tellEnd tells the backend why a publisher has ended.
func (c *session) tellEnd(st hook.Stream, err error) {
	switch {
	case errors.Is(err, rtmp.ErrStreamClosed):
		st.Status = hook.StatusUnpublished
		c.hooks.Tell(hook.UnPublishStream, st, nil)
		c.tell(st, hook.StatusUnpublished, nil, nil)
	case hasLeft(err):
		c.tell(st, hook.StatusUnpublished, nil, nil)
	default:
		c.tell(st, hook.StatusFailed, publishEnd(err), nil)
	}
}

// tellStop tells the backend why a player has ended.
func (c *session) tellStop(st hook.Stream, err error) {
	switch {
	case errors.Is(err, rtmp.ErrStreamClosed):
		st.Status = hook.StatusStopped
		c.hooks.Tell(hook.StopStream, st, nil)
		c.tell(st, hook.StatusStopped, nil, nil)
	case hasLeft(err):
		c.tell(st, hook.StatusStopped, nil, nil)
	default:
		c.tell(st, hook.StatusFailed, err, nil)
	}
}

// pushed starts the push that a backend has asked for. The stream goes on if the push does not start.
func (c *session) pushed(ctx context.Context, by *access.Principal, st hook.Stream, src *stream.Source) {
	if st.RTMPURL == "" || c.srv.parts.Push == nil {
		return
	}
	if err := c.srv.parts.Push(ctx, by, src.Info().Name, st.RTMPURL); err != nil {
		c.log.Warn("the push that the application's backend asked for does not start", "stream", src.Info().Name, "err", err)
	}
}

// appKey returns the application that lists show: that of the backend, or the one that the client has named in the address.
func (c *session) appKey(named string) string {
	if c.hooks.HasBackend() {
		return c.hooks.AppKey()
	}
	return named
}
