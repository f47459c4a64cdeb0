package hook

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
)

// Connection is what a client says when it wants a session.
type Connection struct {
	// Members are those of the client's message. For the Web SDK they are the members of connection.
	Members Object
	Origin  string // of the page; "": none
}

// The statuses of a stream that backends are told.
const (
	StatusNew         = "NEW"
	StatusPublishing  = "PUBLISHING"
	StatusUnpublished = "UNPUBLISHED"
	StatusPlaying     = "PLAYING"
	StatusStopped     = "STOPPED"
	StatusFailed      = "FAILED"
)

// Stream is a stream in hooks. The members that name the server and the session are added when it is sent.
type Stream struct {
	MediaSessionID string
	Name           string // the real name: after a rename, the new one
	Published      bool   // by this session; false: it plays the stream
	HasVideo       bool
	HasAudio       bool
	Status         string
	SDP            string
	Record         bool

	Width, Height, Bitrate, MinBitrate, MaxBitrate, Quality int

	MediaProvider string // WebRTC, Flash
	Custom        json.RawMessage
	RTMPURL       string // as the client sent it, or as a hook has set it; it is sent without its key
	Transport     string // UDP, TCP
	Info          string // why the stream failed

	More Object // further members
}

// object returns the body.
func (st Stream) object() Object {
	o := Object{}
	maps.Copy(o, st.More)
	o.set("mediaSessionId", st.MediaSessionID)
	o.set("name", st.Name)
	o.set("published", st.Published)
	o.set("hasVideo", st.HasVideo)
	o.set("hasAudio", st.HasAudio)
	o.set("status", st.Status)
	o.set("record", st.Record)
	o.set("width", st.Width)
	o.set("height", st.Height)
	o.set("bitrate", st.Bitrate)
	o.set("minBitrate", st.MinBitrate)
	o.set("maxBitrate", st.MaxBitrate)
	o.set("quality", st.Quality)
	o.set("mediaProvider", st.MediaProvider)
	for name, text := range map[string]string{"sdp": st.SDP, "rtmpUrl": maskURL(st.RTMPURL), "transport": st.Transport, "info": st.Info} {
		if text != "" {
			o.set(name, text)
		}
	}
	if len(st.Custom) > 0 && json.Valid(st.Custom) {
		o["custom"] = st.Custom
	}
	return o
}

// with returns the stream with members that the backend has changed. A value of the wrong type is left as it was.
func (st Stream) with(changed Object) Stream {
	for name, value := range changed {
		switch name {
		case "name":
			if s := word(value); s != "" {
				st.Name = s
			}
		case "rtmpUrl":
			_ = json.Unmarshal(value, &st.RTMPURL)
		case "record":
			st.Record = boolean(value, st.Record)
		case "width":
			st.Width = integer(value, st.Width)
		case "height":
			st.Height = integer(value, st.Height)
		case "bitrate":
			st.Bitrate = integer(value, st.Bitrate)
		case "minBitrate":
			st.MinBitrate = integer(value, st.MinBitrate)
		case "maxBitrate":
			st.MaxBitrate = integer(value, st.MaxBitrate)
		case "quality":
			st.Quality = integer(value, st.Quality)
		}
	}
	return st
}

// integer reads a number that is not negative. Backends in PHP send numbers as strings, too.
func integer(value json.RawMessage, otherwise int) int {
	text := strings.Trim(string(value), `"`)
	n, err := strconv.ParseFloat(text, 64)
	const most = 1 << 30
	if err != nil || !(n >= 0 && n <= most) {
		return otherwise
	}
	return int(n)
}

func boolean(value json.RawMessage, otherwise bool) bool {
	b, err := strconv.ParseBool(strings.Trim(string(value), `"`))
	if err != nil {
		return otherwise
	}
	return b
}

// maskURL returns the URL of a push as backends and logs may see it: the scheme, the host and the first part of the path. What follows may be
// a stream key. The name of a destination is no secret.
func maskURL(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		if address == "" {
			return ""
		}
		return "***"
	}
	if strings.EqualFold(scheme, "destination") {
		return address
	}
	host, path, _ := strings.Cut(rest, "/")
	host, query, _ := strings.Cut(host, "?")
	host = host[strings.LastIndexByte(host, '@')+1:]
	if _, port, ok := strings.Cut(strings.TrimPrefix(host[strings.IndexByte(host, ']')+1:], "]"), ":"); ok && strings.Trim(port, "0123456789") != "" {
		return scheme + "://***" // it may be a password with a slash
	}
	app, name, more := strings.Cut(path, "/")
	app, parameters, _ := strings.Cut(app, "?")
	masked := scheme + "://" + host
	if app != "" {
		masked += "/" + app
	}
	if query != "" || parameters != "" || more && name != "" {
		masked += "/***"
	}
	return masked
}

// withoutSecrets removes what no backend is told: the token with which the session can be taken over, and the password of a SIP account.
func withoutSecrets(members Object) Object {
	o := maps.Clone(members)
	for _, name := range []string{"authToken", "sipPassword", "restClientConfig"} {
		delete(o, name)
	}
	return o
}
