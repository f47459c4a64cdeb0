package transponder

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"transponder/internal/flv"
	"transponder/internal/media"
)

var (
	// ErrStreamNotFound means that nobody publishes the stream that was to be pushed.
	ErrStreamNotFound = errors.New("stream not found")
	// ErrDuplicate means that the stream already goes to that address.
	ErrDuplicate = errors.New("the stream is already pushed to this address")
	// ErrNotFound means that there is no push with that id.
	ErrNotFound = errors.New("no such push")
	// ErrUnsupported means that the request asks for something this build cannot do.
	ErrUnsupported = errors.New("not supported")
	// ErrStopping means that the server is being shut down.
	ErrStopping = errors.New("the server is stopping")
)

// RequestError is a field of a request that cannot be used; the caller can mend it.
type RequestError struct {
	Field  string // as it is called in the request
	Reason string // never holds the address's secrets
}

// Error names the field and says what is wrong with it.
func (e *RequestError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Reason) }

// Request asks for a push.
type Request struct {
	StreamName   string
	URL          string
	FullURL      *bool  // the URL's last part is the name to publish under; nil: as the settings say
	FlashVersion string // empty: as the settings say

	// Any of these but Width alone asks for transcoding. Width counts only with Height, and only where the shape of the picture
	// is not to be kept (Config.KeepAspect) or Options.Fit makes it a canvas.
	Width, Height    int
	KeyFrameInterval int // frames
	FPS              float64

	Options Options
}

// Options are a request's options. They are kept and given back as they came.
type Options struct {
	Action    string // what to begin with: "", "mute" or "sound_on"
	SoundFile string
	Loop      bool

	Audio   media.AudioFormat // of what is sent; the zero value leaves it to the settings
	RateBPS int               // of the pictures, which are transcoded for it; 0: as their size calls for
	Fit     string            // "letterbox": the picture is fitted into Width x Height with black bars

	Restore *Restore // how to connect anew; nil: as the settings say

	OnSourceLoss string        // "" or "end": the push ends with its stream; "hold": it waits for the publisher to return
	HoldFor      time.Duration // how long it waits; 0: as the settings say
	Slate        string        // PNG or JPEG in media_dir to show meanwhile; "": the last picture

	// Codecs are those beyond H.264 and AAC that may be sent untouched if the server offers them: "hevc", "av1", "vp9",
	// "opus". Empty: none.
	Codecs []string
}

// The values of Options.Action.
const (
	actionMute  = "mute"
	actionSound = "sound_on"
)

// passable are the codecs of Options.Codecs.
var passable = map[string]media.Codec{"hevc": media.H265, "av1": media.AV1, "vp9": media.VP9, "opus": media.Opus}

// passes says whether a codec may be sent untouched.
func (o Options) passes(c media.Codec) bool {
	return slices.ContainsFunc(o.Codecs, func(name string) bool { return passable[name] == c })
}

// fourCCs are the codecs as Enhanced RTMP names them.
func (o Options) fourCCs() []string {
	var names []string
	for _, name := range o.Codecs {
		names = append(names, flv.FourCC(passable[name]))
	}
	return names
}

// validate refuses what no push can do.
func (o Options) validate() error {
	switch {
	case o.Action != "" && o.Action != actionMute && o.Action != actionSound:
		return &RequestError{"options.action", `it must be "mute" or "sound_on"`}
	case o.Action == actionSound && o.SoundFile == "":
		return &RequestError{"options.soundFile", "it is missing"}
	case o.OnSourceLoss != "" && o.OnSourceLoss != "end" && o.OnSourceLoss != "hold":
		return &RequestError{"options.onSourceLoss", `it must be "end" or "hold"`}
	case o.Slate != "" && o.OnSourceLoss != "hold":
		return &RequestError{"options.slate", `it is shown with "onSourceLoss": "hold" only`}
	case o.HoldFor != 0 && !HoldForRange.Contains(o.HoldFor):
		return &RequestError{"options.holdMs", mustBeMS(HoldForRange)}
	}
	for _, name := range o.Codecs {
		if _, ok := passable[name]; !ok {
			return &RequestError{"options.codecs", `it may hold "hevc", "av1", "vp9" and "opus"`}
		}
	}
	return o.Restore.validate()
}

// Restore says how a push connects anew when its connection is lost.
type Restore struct {
	Attempts   int           // in a row before it gives up; below 0: any number; 0: none
	FirstPause time.Duration // before the first
	Factor     float64       // each pause is so many times the one before; at least 1
	MaxPause   time.Duration // and no longer than this
	Jitter     float64       // share of a pause by which it varies at random, 0 to 1
	HealthyFor time.Duration // live for so long, the count and the pause begin anew
}

// State is where a push is in its life.
type State uint8

// The states of a push.
const (
	Starting   State = iota // made; waits for the stream's media
	Connecting              // dials, shakes hands, asks to publish
	Live                    // the peer answered NetStream.Publish.Start and takes what is sent
	Degraded                // live, but something is wrong: frames are dropped, the source sends nothing or no key frames
	Holding                 // live without its stream: the peer gets a still picture and silence until the publisher returns
	Waiting                 // the connection is lost; pauses before the next
	Draining                // the stream ended or the push was terminated: what is queued is sent, then the goodbye
	Ended                   // over, as was asked for or because the stream ended
	Failed                  // over, for a reason that somebody should look at
)

var stateNames = [...]string{
	"STARTING", "CONNECTING", "PUBLISHING", "DEGRADED", "HOLDING", "RECONNECTING", "DRAINING", "ENDED", "FAILED",
}

// String returns the state's name in answers and logs.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Info is what can be said of a push at one moment.
type Info struct {
	ID         string // media session id: 26 characters of 0-9a-v
	SourceName string
	StreamName string // as published at the far end
	URL        string // as the caller gave it, secrets included: for the caller only
	Target     string // the same without secrets, as Target.String prints it
	SecretName bool   // StreamName came with the URL and may be a stream key
	Options    Options

	Width, Height       int // of what is sent; 0 while unknown
	Muted, SoundEnabled bool
	SoundFile           string // that plays

	State    State
	Since    time.Time // when the state was entered
	Reason   Reason    // of the last failure or end; ReasonNone while all is well
	Detail   string    // in words, without secrets
	Attempts int       // connections tried
	Started  time.Time
	Ended    time.Time // zero while it is not over
	NextTry  time.Time // of a push that waits; zero otherwise

	Hidden bool // the reason tells what is there in a private network: see ForStrangers

	BytesSent, BytesAcked    int64
	VideoFrames, AudioFrames int64
	DroppedFrames            int64
	TranscoderDropped        int64         // pictures that the encoder left out, for all who share it
	DroppedTime              time.Duration // of video
	BufferDelay              time.Duration // added by the outgoing buffer; 0 without one
	Bufferings               int           // times that the buffer ran empty
	QueuedBytes              int
	QueuedTime               time.Duration
	RateBPS                  int64         // sent, over the last whole second
	KeyInterval              time.Duration // between the last two key frames sent
}

// Filter picks pushes; empty fields match all.
type Filter struct {
	ID         string
	StreamName string // the source's name or the published one
	URL        string
}
