package rest

import (
	"context"
	"math"
	"net/http"
	"slices"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// What the contract calls the states of a publisher's stream.
const (
	statusPending    = "PENDING"
	statusPublishing = "PUBLISHING"
)

// streamBody is a stream in an answer: what the contract's StreamStatusEvent says of a publisher.
type streamBody struct {
	NodeID         string     `json:"nodeId,omitempty"`
	AppKey         string     `json:"appKey"`
	SessionID      string     `json:"sessionId"`
	MediaSessionID string     `json:"mediaSessionId"`
	Name           string     `json:"name"`
	Published      bool       `json:"published"`
	HasVideo       bool       `json:"hasVideo"`
	HasAudio       bool       `json:"hasAudio"`
	Status         string     `json:"status"`
	AudioCodec     string     `json:"audioCodec"`
	VideoCodec     string     `json:"videoCodec"`
	Width          int        `json:"width"`
	Height         int        `json:"height"`
	Bitrate        int64      `json:"bitrate"`      // of the video, kbit/s
	AudioBitrate   int64      `json:"audioBitrate"` // kbit/s
	FPS            float64    `json:"fps"`
	GOP            int        `json:"gop"` // frames from one key frame to the next
	Transport      string     `json:"transport"`
	CreateDate     int64      `json:"createDate"` // ms since 1970
	MediaType      string     `json:"mediaType"`
	AudioState     mediaState `json:"audioState"`
	VideoState     mediaState `json:"videoState"`
	MediaProvider  string     `json:"mediaProvider"`
}

type mediaState struct {
	Muted bool `json:"muted"`
}

func newStreamBody(src *stream.Source, nodeID string) streamBody {
	info, st := src.Info(), src.Stats()
	b := streamBody{
		NodeID:         nodeID,
		AppKey:         info.AppKey,
		SessionID:      info.SessionID,
		MediaSessionID: info.ID,
		Name:           info.Name,
		Published:      true,
		HasVideo:       info.HasVideo,
		HasAudio:       info.HasAudio,
		Status:         statusOf(st),
		Bitrate:        st.Video.RateBPS / 1000,
		AudioBitrate:   st.Audio.RateBPS / 1000,
		FPS:            math.Round(st.Video.FPS*10) / 10,
		GOP:            int(math.Round(st.Video.KeyInterval.Seconds() * st.Video.FPS)),
		Transport:      info.Transport,
		CreateDate:     src.Created().UnixMilli(),
		MediaType:      "publish",
		MediaProvider:  info.Provider,
	}
	b.AudioCodec = codecOf(st.Audio.Track)
	b.VideoCodec = codecOf(st.Video.Track)
	if t := st.Video.Track; t != nil {
		b.Width, b.Height = t.Width, t.Height
	}
	return b
}

func statusOf(st stream.SourceStats) string {
	if st.Live {
		return statusPublishing
	}
	return statusPending
}

// codecOf names the codec of a track, "" before the first frame.
func codecOf(t *media.Track) string {
	if t == nil {
		return ""
	}
	return t.Codec.String()
}

// streamFilter picks streams. Empty members match all.
type streamFilter struct {
	ids       []string // any of these
	name      string
	published *bool
	status    string
}

func newStreamFilter(f *fields) streamFilter {
	filter := streamFilter{
		ids:       f.texts("mediaSessionIds"),
		name:      f.text("name"),
		published: f.boolean("published"),
		status:    f.text("status"),
	}
	if id := f.text("mediaSessionId"); id != "" {
		filter.ids = append(filter.ids, id)
	}
	f.take("display") // asks for more detail than there is
	return filter
}

// empty says whether the filter matches all. A list of ids without an id does not: whoever made it meant nobody.
func (sf streamFilter) empty() bool {
	return sf.ids == nil && sf.name == "" && sf.published == nil && sf.status == ""
}

// matches says whether the filter picks a publisher's stream. There are no players' streams yet.
func (sf streamFilter) matches(src *stream.Source) bool {
	info := src.Info()
	return (sf.ids == nil || slices.Contains(sf.ids, info.ID)) &&
		(sf.name == "" || sf.name == info.Name) &&
		(sf.published == nil || *sf.published) &&
		(sf.status == "" || sf.status == statusOf(src.Stats()))
}

// sources returns the streams that a filter picks, errNoStream if there are none.
func (s *Server) sources(filter streamFilter) ([]*stream.Source, error) {
	found := slices.DeleteFunc(s.streams.Sources(), func(src *stream.Source) bool { return !filter.matches(src) })
	if len(found) == 0 {
		return nil, errNoStream
	}
	return found, nil
}

func (s *Server) findStreams(_ context.Context, f *fields) (any, error) {
	filter := newStreamFilter(f)
	if f.err != nil {
		return nil, f.err
	}
	return s.streamList(filter)
}

func (s *Server) findAllStreams(context.Context, *fields) (any, error) {
	return s.streamList(streamFilter{})
}

func (s *Server) streamList(filter streamFilter) (any, error) {
	found, err := s.sources(filter)
	if err != nil {
		return nil, err
	}
	list := make([]streamBody, 0, len(found))
	for _, src := range found {
		list = append(list, newStreamBody(src, s.nodeID))
	}
	return list, nil
}

// terminateStreams ends what a filter picks. The published contract ends every stream on an empty filter; here that has to
// be said.
func (s *Server) terminateStreams(_ context.Context, f *fields) (any, error) {
	filter := newStreamFilter(f)
	all := f.boolean("all")
	if f.err != nil {
		return nil, f.err
	}
	if filter.empty() && (all == nil || !*all) {
		return nil, refusal{http.StatusBadRequest,
			`say which streams by mediaSessionId, mediaSessionIds, name, published or status, or {"all":true} for every one`}
	}
	found, err := s.sources(filter)
	if err != nil {
		return nil, err
	}
	for _, src := range found {
		s.log.Info("stream terminated by request", "stream", src.Info().Name)
		src.Close(stream.ErrTerminated)
	}
	return nil, nil
}
