package rest

import (
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	"transponder/internal/access"
	"transponder/internal/media"
	"transponder/internal/stream"
)

// The states of publishers and players in the words of the contract.
const (
	statusPending    = "PENDING"
	statusPublishing = "PUBLISHING"
	statusPlaying    = "PLAYING"
)

// Player describes one player. Its fields are those of wcs.Player.
type Player struct {
	ID                     string // media session id
	Name                   string // of the stream
	SessionID              string
	AppKey                 string
	Provider               string // "WebRTC", "WHEP"
	Transport              string // "UDP", "TCP"
	Playing                bool   // false: it is connecting
	HasVideo, HasAudio     bool
	AudioMuted, VideoMuted bool         // by the publisher
	Video, Audio           *media.Track // as they are sent; nil before the first frame
	VideoRateBPS           int64
	Created                time.Time
}

// Players lists and ends players. Package app makes one of wcs.Server.
type Players interface {
	Players() []Player         // oldest first
	StopPlayer(id string) bool // says whether there is a player with the id
	// Muted says which tracks of a stream its publisher has muted.
	Muted(src *stream.Source) (audio, video bool)
}

// streamBody is a publisher or a player in an answer, with the members of StreamStatusEvent in the contract.
type streamBody struct {
	NodeID         string     `json:"nodeId,omitempty"`
	AppKey         string     `json:"appKey"`
	SessionID      string     `json:"sessionId"`
	MediaSessionID string     `json:"mediaSessionId"`
	Name           string     `json:"name"`
	Published      bool       `json:"published"`
	Standby        bool       `json:"standby,omitempty"` // it is a spare publisher, whose media players do not get
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

	Reception *receptionBody `json:"reception,omitempty"`
}

type mediaState struct {
	Muted bool `json:"muted"`
}

func (s *Server) publisherBody(src *stream.Source) streamBody {
	info, st := src.Info(), src.Stats()
	b := streamBody{
		NodeID:         s.nodeID,
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
	b.AudioState.Muted, b.VideoState.Muted = s.parts.Players.Muted(src)
	b.use(st.Video.Track, st.Audio.Track)
	return b
}

func (s *Server) playerBody(p Player) streamBody {
	b := streamBody{
		NodeID:         s.nodeID,
		AppKey:         p.AppKey,
		SessionID:      p.SessionID,
		MediaSessionID: p.ID,
		Name:           p.Name,
		HasVideo:       p.HasVideo,
		HasAudio:       p.HasAudio,
		Status:         statusPending,
		Bitrate:        p.VideoRateBPS / 1000,
		Transport:      p.Transport,
		CreateDate:     p.Created.UnixMilli(),
		MediaType:      "play",
		AudioState:     mediaState{p.AudioMuted},
		VideoState:     mediaState{p.VideoMuted},
		MediaProvider:  p.Provider,
	}
	if p.Playing {
		b.Status = statusPlaying
	}
	b.use(p.Video, p.Audio)
	return b
}

// use sets the members that describe the media.
func (b *streamBody) use(video, audio *media.Track) {
	b.VideoCodec, b.AudioCodec = codecOf(video), codecOf(audio)
	if video != nil {
		b.Width, b.Height = video.Width, video.Height
	}
}

func statusOf(st stream.SourceStats) string {
	if st.Live {
		return statusPublishing
	}
	return statusPending
}

// codecOf returns the name of the codec of a track, "" before the first frame.
func codecOf(t *media.Track) string {
	if t == nil {
		return ""
	}
	return t.Codec.String()
}

// streamFilter selects streams. An empty member matches all streams.
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
	f.take("display") // asks for details that this server does not have
	return filter
}

// empty says whether the filter matches all streams. A filter with an empty list of ids matches none.
func (sf streamFilter) empty() bool {
	return sf.ids == nil && sf.name == "" && sf.published == nil && sf.status == ""
}

// matches says whether the filter selects a stream.
func (sf streamFilter) matches(b streamBody) bool {
	return (sf.ids == nil || slices.Contains(sf.ids, b.MediaSessionID)) &&
		(sf.name == "" || sf.name == b.Name) &&
		(sf.published == nil || *sf.published == b.Published) &&
		(sf.status == "" || sf.status == b.Status)
}

// found is a publisher or a player that a filter selects.
type found struct {
	streamBody
	own bool // the sender of the request publishes it
	end func()
}

// streams returns the publishers, the spare publishers and then the players that a filter selects and that the sender of the request may know of: those that he
// may read about, and those that he publishes. errNoStream if there are none.
func (s *Server) streams(ctx context.Context, filter streamFilter) ([]found, error) {
	v := s.viewer(ctx)
	var list []found
	add := func(b streamBody, owner string, end func()) {
		if own := v.owns(owner); filter.matches(b) && (own || v.reads(b.Name)) {
			list = append(list, found{b, own, end})
		}
	}
	for _, src := range s.parts.Streams.Sources() {
		if src.Info().IsRelay() {
			continue // the server that has the publisher lists it
		}
		add(s.publisherBody(src), src.Info().Publisher.Identity, func() { src.Close(stream.ErrTerminated) })
	}
	spares := s.parts.Streams.Spares()
	slices.SortFunc(spares, func(a, b *stream.Source) int { return a.Created().Compare(b.Created()) })
	for _, src := range spares {
		b := s.publisherBody(src)
		b.Standby = true
		add(b, src.Info().Publisher.Identity, func() { src.Close(stream.ErrTerminated) })
	}
	for _, p := range s.parts.Players.Players() {
		add(s.playerBody(p), "", func() { s.parts.Players.StopPlayer(p.ID) })
	}
	if list == nil {
		return nil, errNoStream
	}
	return list, nil
}

func (s *Server) findStreams(ctx context.Context, f *fields) (any, error) {
	filter := newStreamFilter(f)
	if f.err != nil {
		return nil, f.err
	}
	list, err := s.streamList(ctx, filter)
	if filter.ids != nil || filter.name != "" {
		s.addReception(list)
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (s *Server) findAllStreams(ctx context.Context, _ *fields) (any, error) {
	list, err := s.streamList(ctx, streamFilter{})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (s *Server) streamList(ctx context.Context, filter streamFilter) ([]streamBody, error) {
	picked, err := s.streams(ctx, filter)
	if err != nil {
		return nil, err
	}
	list := make([]streamBody, 0, len(picked))
	for _, st := range picked {
		list = append(list, st.streamBody)
	}
	return list, nil
}

// terminateStreams ends the publishers and players that a filter selects. In the published contract an empty filter ends all streams;
// here the request must say so.
func (s *Server) terminateStreams(ctx context.Context, f *fields) (any, error) {
	filter := newStreamFilter(f)
	all := f.flag("all", false)
	if f.err != nil {
		return nil, f.err
	}
	if filter.empty() && !all {
		return nil, refusal{http.StatusBadRequest,
			`say which streams by mediaSessionId, mediaSessionIds, name, published or status, or {"all":true} for every one`}
	}
	picked, err := s.streams(ctx, filter)
	if err != nil {
		return nil, err
	}
	for _, st := range picked {
		if st.own {
			continue
		}
		if err := s.authorize(ctx, access.Control, access.Object{Stream: st.Name}); err != nil {
			return nil, err
		}
	}
	for _, st := range slices.Backward(picked) { // players first, so that they are told this cause; spare publishers before they get the name
		s.log.Info("stream terminated by request", "stream", st.Name, "type", st.MediaType)
		st.end()
	}
	return nil, nil
}
