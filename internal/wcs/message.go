package wcs

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// frame is one message on the wire, both ways: {"message": name, "data": [...]}.
type frame struct {
	Message string `json:"message"`
	Data    []any  `json:"data"` // always an array: the SDK looks into it before it looks at the name
}

func encode(name string, data ...any) ([]byte, error) {
	if data == nil {
		data = []any{}
	}
	return json.Marshal(frame{Message: name, Data: data})
}

// decode splits a message into its name and its data. Only the first element of data is used; data may also be that element itself,
// or missing. ok is false if raw is not a message.
func decode(raw []byte) (name string, data json.RawMessage, ok bool) {
	var m struct {
		Message text            `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(raw, &m); err != nil || m.Message == "" {
		return "", nil, false
	}
	if !bytes.HasPrefix(m.Data, []byte("[")) {
		return string(m.Message), m.Data, true
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(m.Data, &elements); err != nil || len(elements) == 0 {
		return string(m.Message), nil, true
	}
	return string(m.Message), elements[0], true
}

// connection is how a browser describes itself.
type connection struct {
	AppKey               text            `json:"appKey"`
	AuthToken            text            `json:"authToken"`
	KeepAlive            flag            `json:"keepAlive"`
	ClientVersion        text            `json:"clientVersion"`
	ClientOSVersion      text            `json:"clientOSVersion"`
	ClientBrowserVersion text            `json:"clientBrowserVersion"`
	MediaProviders       texts           `json:"mediaProviders"`
	Custom               json.RawMessage `json:"custom"`
	SIPLogin             text            `json:"sipLogin"`
}

// mediaRequest is the object of publishStream and playStream.
type mediaRequest struct {
	MediaSessionID text   `json:"mediaSessionId"`
	Name           text   `json:"name"`
	HasVideo       flag   `json:"hasVideo"`
	HasAudio       flag   `json:"hasAudio"`
	Record         flag   `json:"record"`
	MediaProvider  text   `json:"mediaProvider"`
	SDP            text   `json:"sdp"`
	Bitrate        number `json:"bitrate"`
	MinBitrate     number `json:"minBitrate"`
	MaxBitrate     number `json:"maxBitrate"`
	Width          number `json:"width"`
	Height         number `json:"height"`
	Quality        number `json:"quality"`
	Transport      text   `json:"transport"`
	RTMPURL        text   `json:"rtmpUrl"`

	Custom json.RawMessage `json:"custom"`
}

// transport returns "TCP" or "UDP".
func (r mediaRequest) transport() string {
	if strings.EqualFold(string(r.Transport), "TCP") {
		return "TCP"
	}
	return "UDP"
}

// streamRef names a stream, in messages that need nothing more.
type streamRef struct {
	MediaSessionID text `json:"mediaSessionId"`
	Name           text `json:"name"`
}

// eventRequest is the object of sendStreamEvent.
type eventRequest struct {
	MediaSessionID text            `json:"mediaSessionId"`
	Type           text            `json:"type"`
	Payload        json.RawMessage `json:"payload"`
}

// The types below accept every value that a page may put into a field, as scripts do: numbers in quotes, words for booleans, null.
// A value that makes no sense counts as missing.

type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	*t = ""
	switch raw[0] {
	case '"':
		return json.Unmarshal(raw, (*string)(t))
	case '{', '[', 'n':
	default: // a number or a boolean, as it was written
		*t = text(raw)
	}
	return nil
}

type texts []string

func (t *texts) UnmarshalJSON(raw []byte) error {
	*t = nil
	var one []text
	if raw[0] != '[' || json.Unmarshal(raw, &one) != nil {
		return nil
	}
	for _, v := range one {
		*t = append(*t, string(v))
	}
	return nil
}

type flag bool

func (f *flag) UnmarshalJSON(raw []byte) error {
	var t text
	if err := t.UnmarshalJSON(raw); err != nil {
		return err
	}
	switch strings.ToLower(string(t)) {
	case "true", "1", "yes", "on":
		*f = true
	default:
		*f = false
	}
	return nil
}

type number float64

func (n *number) UnmarshalJSON(raw []byte) error {
	var t text
	if err := t.UnmarshalJSON(raw); err != nil {
		return err
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(string(t)), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	*n = number(v)
	return nil
}
