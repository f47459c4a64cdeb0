package wcs

import (
	"errors"

	"transponder/internal/hook"
	"transponder/internal/media"
	"transponder/internal/rtc"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
)

// The statuses of publishers and of players.
const (
	publishing  = "PUBLISHING"
	unpublished = "UNPUBLISHED"
	playing     = "PLAYING"
	stopped     = "STOPPED"
	failed      = "FAILED"
)

// The causes for which this door refuses or ends streams, besides the errors of the packages rtc and stream.
var (
	errStopped       = errors.New("stopped by the page")
	errDisconnected  = errors.New("the session ended")
	errPushFailed    = errors.New("the push of the stream's rtmpUrl failed")
	errNullID        = errors.New("no media session id")
	errBadID         = errors.New("media session id is too long")
	errBadCustom     = errors.New("custom is too long")
	errTooMany       = errors.New("too many streams in this session")
	errNoStream      = errors.New("nobody publishes the stream")
	errNotReady      = errors.New("the stream's media did not come in time")
	errPublisherGone = errors.New("the publisher stopped")
	errBadURI        = errors.New("addresses cannot be played")
	errNoPlaying     = errors.New("nothing can be played here")

	errNullCallID   = errors.New("no call id")
	errBadCallID    = errors.New("call id is too long")
	errCallID       = errors.New("the session has a call with this id")
	errTooManyCalls = errors.New("too many calls in this session")
	errBusyCall     = errors.New("too many messages wait for the call")
	errHungUp       = errors.New("hung up by the page")
)

// outcomeOfPlay is outcome for players.
func outcomeOfPlay(err error) (status, info string) {
	status, info = outcome(err)
	if status == unpublished {
		status = stopped
	}
	return status, info
}

// endedByPage says whether the page has ended a stream itself.
func endedByPage(err error) bool {
	return errors.Is(err, errStopped) || errors.Is(err, rtc.ErrClientClosed)
}

// outcome returns the terminal status of a publisher that ended with err, and the info in the words of the contract, which pages
// compare. A browser that closed the WebRTC connection was stopped by its page: the SDK closes the connection and sends
// unPublishStream at the same time, and either may arrive first.
func outcome(err error) (status, info string) {
	var busy *picture.BusyError
	var refused *hook.Refused
	switch {
	case endedByPage(err):
		return unpublished, "Stopped by user"
	case errors.Is(err, stream.ErrTerminated):
		return unpublished, "Stopped by rest /terminate"
	case errors.Is(err, errDisconnected):
		return failed, "Stopped by session disconnect"
	case errors.Is(err, errPushFailed):
		return failed, "Failed by RTMP writer error"
	case errors.Is(err, errNullID):
		return failed, "MediaSessionId is null"
	case errors.Is(err, stream.ErrIDInUse):
		return failed, "MediaSessionId is already in use"
	case errors.Is(err, stream.ErrNameInUse), errors.Is(err, stream.ErrReplaced): // the contract has no word for ErrReplaced
		return failed, "Stream name is already in use"
	case errors.Is(err, rtc.ErrNoCommonCodecs):
		return failed, "No common codecs"
	case errors.Is(err, rtc.ErrICETimeout):
		return failed, "Failed by ICE timeout"
	case errors.Is(err, rtc.ErrICEFailed):
		return failed, "Failed by ICE error"
	case errors.Is(err, rtc.ErrICEKeepAlive):
		return failed, "Failed by ICE keep alive"
	case errors.Is(err, rtc.ErrDTLSFingerprint): // before ErrDTLS, which may be its cause
		return failed, "Failed by DTLS fingerprint error"
	case errors.Is(err, rtc.ErrDTLS):
		return failed, "Failed by DTLS error"
	case errors.Is(err, rtc.ErrActivity):
		return failed, "Failed by RTP activity"
	case errors.Is(err, errPublisherGone):
		return failed, "Stopped by publisher stop"
	case errors.Is(err, errNoStream):
		return failed, "Session does not exist"
	case errors.Is(err, errNotReady):
		return failed, "Publish stream is not ready"
	case errors.Is(err, errBadURI):
		return failed, "Bad URI"
	case errors.As(err, &refused):
		return failed, refused.Info
	case isRefusal(err):
		return failed, restricted
	case errors.Is(err, picture.ErrDisabled):
		return failed, "Transcoding required, but disabled"
	case errors.As(err, &busy):
		return failed, "No available transcoders"
	default: // stream.ErrName, rtc.ErrBadOffer, load.ErrFull: the contract has no words for them
		return failed, "Failed by error"
	}
}

// streamInfo is the stream object of notifyStreamStatusEvent. It has the members that the original server sends, as far as they are
// known here.
type streamInfo struct {
	NodeID         string  `json:"nodeId,omitempty"`
	AppKey         string  `json:"appKey"`
	SessionID      string  `json:"sessionId"`
	MediaSessionID string  `json:"mediaSessionId"`
	Name           string  `json:"name"`
	Published      bool    `json:"published"`
	HasVideo       bool    `json:"hasVideo"`
	HasAudio       bool    `json:"hasAudio"`
	Status         string  `json:"status"`
	Info           string  `json:"info,omitempty"`
	Reason         string  `json:"reason,omitempty"`    // an addition to the contract: why the stream was refused
	Elsewhere      string  `json:"elsewhere,omitempty"` // another one: the address for sockets of a server that has room for the stream
	AudioCodec     string  `json:"audioCodec,omitempty"`
	VideoCodec     string  `json:"videoCodec,omitempty"`
	Record         bool    `json:"record"`
	Width          int     `json:"width"`
	Height         int     `json:"height"`
	Bitrate        float64 `json:"bitrate"`
	MinBitrate     float64 `json:"minBitrate"`
	MaxBitrate     float64 `json:"maxBitrate"`
	Transport      string  `json:"transport,omitempty"`
	CreateDate     int64   `json:"createDate,omitempty"` // milliseconds of the Unix epoch
	MediaType      string  `json:"mediaType"`
	AudioState     muted   `json:"audioState"`
	VideoState     muted   `json:"videoState"`
	MediaProvider  string  `json:"mediaProvider"`
}

type muted struct {
	Muted bool `json:"muted"`
}

// describe returns the stream object for a request to play, before there is any media.
func (s *session) describe(req mediaRequest, status, info string) streamInfo {
	return streamInfo{
		NodeID:         s.srv.cfg.NodeID,
		AppKey:         s.appKey(),
		SessionID:      s.id,
		MediaSessionID: string(req.MediaSessionID),
		Name:           string(req.Name),
		HasVideo:       bool(req.HasVideo),
		HasAudio:       bool(req.HasAudio),
		Status:         status,
		Info:           info,
		Bitrate:        float64(req.Bitrate),
		MinBitrate:     float64(req.MinBitrate),
		MaxBitrate:     float64(req.MaxBitrate),
		MediaType:      "play",
		MediaProvider:  webRTC,
	}
}

// use sets the members that describe the media.
func (d *streamInfo) use(video, audio *media.Track) {
	if video != nil {
		d.VideoCodec, d.Width, d.Height = video.Codec.String(), video.Width, video.Height
	}
	if audio != nil {
		d.AudioCodec = audio.Codec.String()
	}
}

// ofPublisher makes the object one of a publisher.
func (d streamInfo) ofPublisher() streamInfo {
	d.MediaType, d.Published = "publish", true
	return d
}
