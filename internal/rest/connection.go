package rest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
)

// Connection describes one session of the Web SDK. Its fields are those of wcs.Connection.
type Connection struct {
	SessionID            string
	AppKey               string
	ClientVersion        string
	ClientOSVersion      string
	ClientBrowserVersion string
	MediaProviders       []string
	Custom               json.RawMessage // as the page gave it; nil: nothing
	KeepAlive            bool            // the session survives the loss of its socket for a while
	Connected            bool            // the session has a socket now
	Address              string          // of the browser
	Origin               string          // of the page
	Created              time.Time
	Publishers, Players  int
	Calls                int
	SIPLogin             string // of the page's account; "": it has none
}

// Connections lists and ends sessions of the Web SDK. Package app makes one of wcs.Server.
type Connections interface {
	Connections() []Connection // oldest first
	// Terminate and SetLogLevel say whether there is a session with the id.
	Terminate(sessionID string) bool
	SetLogLevel(sessionID string, level slog.Level) bool
}

var errNoConnection = refusal{http.StatusNotFound, "Connection not found"}

// The states of a connection in the words of the contract. A DISCONNECTED one waits for its browser to return.
const (
	statusEstablished  = "ESTABLISHED"
	statusDisconnected = "DISCONNECTED"
)

// connectionBody is a connection in an answer. The first block has the members that the contract sends to backends; the second is ours.
type connectionBody struct {
	NodeID               string          `json:"nodeId,omitempty"`
	AppKey               string          `json:"appKey"`
	SessionID            string          `json:"sessionId"`
	MediaProviders       []string        `json:"mediaProviders"`
	ClientVersion        string          `json:"clientVersion"`
	ClientOSVersion      string          `json:"clientOSVersion"`
	ClientBrowserVersion string          `json:"clientBrowserVersion"`
	KeepAlive            bool            `json:"keepAlive"`
	Origin               string          `json:"origin"`
	Custom               json.RawMessage `json:"custom,omitempty"`
	SIPLogin             string          `json:"sipLogin,omitempty"`

	Status     string `json:"status"`
	CreateDate int64  `json:"createDate"` // ms since 1970
	Address    string `json:"clientAddress"`
	Publishers int    `json:"publishers"`
	Players    int    `json:"players"`
	Calls      int    `json:"calls"`
}

func newConnectionBody(c Connection, nodeID string) connectionBody {
	b := connectionBody{
		NodeID:               nodeID,
		AppKey:               c.AppKey,
		SessionID:            c.SessionID,
		MediaProviders:       c.MediaProviders,
		ClientVersion:        c.ClientVersion,
		ClientOSVersion:      c.ClientOSVersion,
		ClientBrowserVersion: c.ClientBrowserVersion,
		KeepAlive:            c.KeepAlive,
		Origin:               c.Origin,
		Custom:               c.Custom,
		SIPLogin:             c.SIPLogin,
		Status:               statusDisconnected,
		CreateDate:           c.Created.UnixMilli(),
		Address:              c.Address,
		Publishers:           c.Publishers,
		Players:              c.Players,
		Calls:                c.Calls,
	}
	if c.Connected {
		b.Status = statusEstablished
	}
	if b.MediaProviders == nil {
		b.MediaProviders = []string{}
	}
	return b
}

func (s *Server) findConnections(ctx context.Context, f *fields) (any, error) {
	id, app, version := f.text("sessionId"), f.text("appKey"), f.text("clientVersion")
	if f.err != nil {
		return nil, f.err
	}
	return s.connectionList(ctx, func(c Connection) bool {
		return (id == "" || id == c.SessionID) && (app == "" || app == c.AppKey) && (version == "" || version == c.ClientVersion)
	})
}

func (s *Server) findAllConnections(ctx context.Context, _ *fields) (any, error) {
	return s.connectionList(ctx, func(Connection) bool { return true })
}

func (s *Server) connectionList(ctx context.Context, matches func(Connection) bool) (any, error) {
	v := s.viewer(ctx)
	var list []connectionBody
	for _, c := range s.parts.Connections.Connections() {
		if matches(c) && v.connection(c) {
			b := newConnectionBody(c, s.nodeID)
			if !v.admin {
				b.Address = ""
			}
			list = append(list, b)
		}
	}
	if list == nil {
		return nil, errNoConnection
	}
	return list, nil
}

func (s *Server) terminateConnection(ctx context.Context, f *fields) (any, error) {
	id := f.required("sessionId")
	if f.err != nil {
		return nil, f.err
	}
	if err := s.changeConnection(ctx, id); err != nil {
		return nil, err
	}
	if !s.parts.Connections.Terminate(id) {
		return nil, errNoConnection
	}
	s.log.Info("session terminated by request", "session", id)
	return nil, nil
}

// changeConnection decides whether the sender of the request may end or change a session: if he controls all streams, or those of the
// application to which the session belongs. A session that he may not know of is not found.
func (s *Server) changeConnection(ctx context.Context, id string) error {
	note(ctx, func(l *audit.Line) { l.Object = id })
	v := s.viewer(ctx)
	for _, c := range s.parts.Connections.Connections() {
		if c.SessionID != id {
			continue
		}
		switch {
		case !v.connection(c):
			return errNoConnection
		case v.principal.App != "" && v.principal.App == c.AppKey && access.Has(v.principal, access.Control):
			return nil
		}
		return s.authorize(ctx, access.Control, access.Object{})
	}
	return errNoConnection
}

// logLevels maps the levels of the contract to those of this server, which has fewer. OFF leaves errors, which somebody should see.
var logLevels = map[string]slog.Level{
	"ALL": slog.LevelDebug, "TRACE": slog.LevelDebug, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn,
	"ERROR": slog.LevelError, "FATAL": slog.LevelError, "OFF": slog.LevelError,
}

func (s *Server) setLogLevel(ctx context.Context, f *fields) (any, error) {
	id, word := f.required("sessionId"), f.required("logLevel")
	level, ok := logLevels[strings.ToUpper(word)]
	if !ok {
		f.fail("logLevel", "it must be DEBUG, INFO, WARN or ERROR")
	}
	if f.err != nil {
		return nil, f.err
	}
	if err := s.changeConnection(ctx, id); err != nil {
		return nil, err
	}
	if !s.parts.Connections.SetLogLevel(id, level) {
		return nil, errNoConnection
	}
	return nil, nil
}
