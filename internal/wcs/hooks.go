package wcs

import (
	"encoding/json"
	"math"

	"transponder/internal/hook"
)

// Hooks opens the hooks of the session of a page, as hook.Hooks does. A nil Session asks nobody and tells nobody.
type Hooks interface {
	Open(c hook.Client) (*hook.Session, error)
}

// streamForHook returns a request in the form that backends know.
func (r mediaRequest) streamForHook(publishes bool) hook.Stream {
	return hook.Stream{
		MediaSessionID: string(r.MediaSessionID),
		Name:           string(r.Name),
		Published:      publishes,
		HasVideo:       bool(r.HasVideo),
		HasAudio:       bool(r.HasAudio),
		Status:         "PENDING",
		SDP:            string(r.SDP),
		Record:         bool(r.Record),
		Width:          whole(r.Width),
		Height:         whole(r.Height),
		Bitrate:        whole(r.Bitrate),
		MinBitrate:     whole(r.MinBitrate),
		MaxBitrate:     whole(r.MaxBitrate),
		Quality:        whole(r.Quality),
		MediaProvider:  webRTC,
		Custom:         withoutKey(r.Custom),
		RTMPURL:        string(r.RTMPURL),
		Transport:      r.transport(),
	}
}

// whole returns a number of a page as a whole number, 0 if it cannot be one.
func whole(n number) int {
	if n < 0 || n > math.MaxInt32 {
		return 0
	}
	return int(n)
}

// forHook returns the stream object in the form that backends know. name is the real name of the stream.
func (d streamInfo) forHook(name string) hook.Stream {
	more := hook.Object{}
	for member, value := range map[string]any{
		"audioCodec": d.AudioCodec, "videoCodec": d.VideoCodec, "createDate": d.CreateDate, "mediaType": d.MediaType,
		"audioState": d.AudioState, "videoState": d.VideoState,
	} {
		if value != "" && value != int64(0) {
			more[member], _ = json.Marshal(value) // such values always encode
		}
	}
	return hook.Stream{
		MediaSessionID: d.MediaSessionID,
		Name:           name,
		Published:      d.Published,
		HasVideo:       d.HasVideo,
		HasAudio:       d.HasAudio,
		Status:         d.Status,
		Record:         d.Record,
		Width:          d.Width,
		Height:         d.Height,
		Bitrate:        whole(number(d.Bitrate)),
		MinBitrate:     whole(number(d.MinBitrate)),
		MaxBitrate:     whole(number(d.MaxBitrate)),
		MediaProvider:  d.MediaProvider,
		Transport:      d.Transport,
		Info:           d.Info,
		More:           more,
	}
}

// tellBackend tells the backend of the app the status of a stream, after the page. end ends the stream if the backend demands that.
func (s *session) tellBackend(d streamInfo, name string, end func(error)) {
	if s.hook.HasBackend() {
		s.hook.Tell(hook.StreamStatusEvent, d.forHook(name), end)
	}
}

// forPage returns the stream object as the page gets it: without what the backend of the app has excluded.
func (s *session) forPage(d streamInfo) any {
	excluded := s.hook.Exclude(hook.StreamStatusEvent)
	if len(excluded) == 0 {
		return d
	}
	var members map[string]json.RawMessage
	raw, err := json.Marshal(d)
	if err != nil || json.Unmarshal(raw, &members) != nil {
		return d
	}
	for _, name := range excluded {
		delete(members, name)
	}
	return members
}
