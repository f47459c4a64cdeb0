package transponder

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"transponder/internal/access"
	"transponder/internal/flv"
	"transponder/internal/media"
	"transponder/internal/stream"
)

var (
	// ErrStreamNotFound means that nobody publishes the stream.
	ErrStreamNotFound = errors.New("stream not found")
	// ErrDuplicate means that a push of the same stream to the same address exists.
	ErrDuplicate = errors.New("the stream is already pushed to this address")
	// ErrNotFound means that no push has that id.
	ErrNotFound = errors.New("no such push")
	// ErrUnsupported means that this server cannot do what the request asks for.
	ErrUnsupported = errors.New("not supported")
	// ErrStopping means that the server is shutting down.
	ErrStopping = errors.New("the server is stopping")
)

// RequestError means that a field of a request cannot be used. The caller can correct it.
type RequestError struct {
	Field  string // the name of the field in the API
	Reason string // does not contain secrets of the address
}

// Error names the field and the reason.
func (e *RequestError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Reason) }

// Request asks for a push. Its form in JSON, and that of Options, is what is kept of the push: a member without a secret needs a tag, a member with
// one has its place in secrets.
type Request struct {
	// By asks for the push. It decides whether the push may go to private networks, and becomes Info.Owner. nil: the server itself.
	By *access.Principal `json:"-"`

	Via string `json:"-"` // how the push was asked for, such as ViaREST

	StreamName   string `json:"-"`
	TargetName   string `json:"targetName,omitzero"`   // to publish under, with the prefix of the settings before it if it has none; empty: StreamName. A full URL names its own
	URL          string `json:"-"`                     // an address, or destination://NAME
	FullURL      *bool  `json:"fullUrl,omitempty"`     // the last part of the URL is the name to publish under; nil: as in the settings
	FlashVersion string `json:"flashVersion,omitzero"` // empty: as in the settings

	// Each of these except Width asks for transcoding. Width counts only together with Height, and only if the aspect ratio need not be
	// kept (Config.KeepAspect) or Options.Fit is set.
	Width            int     `json:"width,omitzero"`
	Height           int     `json:"height,omitzero"`
	KeyFrameInterval int     `json:"keyFrameInterval,omitzero"` // frames
	FPS              float64 `json:"fps,omitzero"`

	Options Options `json:"options"`
}

// Options are the options of a request. Info returns them unchanged.
type Options struct {
	Action    string `json:"action,omitzero"`    // how the push begins: "", "mute" or "sound_on"
	SoundFile string `json:"soundFile,omitzero"` // for "sound_on"
	Loop      bool   `json:"loop,omitzero"`      // of the sound file

	Audio   media.AudioFormat `json:"-"`                // of the sound that is sent; the zero value: as in the settings
	RateBPS int               `json:"rateBps,omitzero"` // of the pictures, which are transcoded for it; 0: what suits their size
	Fit     string            `json:"fit,omitzero"`     // "letterbox": the picture is fitted into Width x Height with black bars

	Restore *Restore `json:"restore,omitempty"` // how to reconnect; nil: as in the settings

	OnSourceLoss string        `json:"onSourceLoss,omitzero"` // "" or "end": the push ends with its stream; "hold": it waits for the publisher to return
	HoldFor      time.Duration `json:"holdNs,omitzero"`       // how long the push waits; 0: as in the settings
	Slate        string        `json:"slate,omitzero"`        // PNG or JPEG file in media_dir to show meanwhile; "": the last picture

	// BackupStreams are sent when the stream fails, in this order. The push begins with the first of all that is published.
	BackupStreams []string      `json:"backupStreams,omitempty"`
	BackupAfter   time.Duration `json:"backupAfterNs,omitzero"` // a stream that sends nothing for so long has failed; 0: as in the settings
	Return        string        `json:"return,omitzero"`        // "" or "auto": the push returns to a better stream, the main one first, when it is well again; "manual": only by UseSource

	// Picture is shown while the stream has no pictures: "card", a card with the title or the name of the stream, or else a PNG or JPEG
	// file in media_dir. "": the sound is sent alone.
	Picture string `json:"picture,omitzero"`

	// ResumeFor is how long the push waits for its publisher after a restart of the server; 0: the push does not outlive the process; nil: as in
	// the settings.
	ResumeFor *time.Duration `json:"resumeNs,omitempty"`

	// BackupURLs are more addresses for the stream, each like Request.URL: tried in order when the stream cannot go to the address before,
	// or sent to at the same time. They may hold stream keys.
	BackupURLs   []string `json:"-"`
	FailBack     *bool    `json:"failBack,omitempty"`    // the stream returns to an address before when that is well again; nil: true
	Simultaneous bool     `json:"simultaneous,omitzero"` // the stream goes to all addresses at the same time

	// Codecs may be sent unchanged, beside H.264 and AAC, if the destination offers them: "hevc", "av1", "vp9", "opus".
	Codecs []string `json:"codecs,omitempty"`
}

// The values of Options.Action.
const (
	actionMute  = "mute"
	actionSound = "sound_on"
)

// The values of Options.Return.
const (
	returnAuto   = "auto"
	returnManual = "manual"
)

// maxBackupStreams is the most streams that Options.BackupStreams may name.
const maxBackupStreams = 8

// names returns the streams that the push may send, the main one first.
func (r Request) names() []string { return append([]string{r.StreamName}, r.Options.BackupStreams...) }

// checkBackups refuses names that no stream can have, and names that come twice.
func (r Request) checkBackups() error {
	names := r.names()
	for i, name := range names[1:] {
		if err := stream.CheckName(name); err != nil {
			return &RequestError{"options.backupStreams", err.Error()}
		}
		if slices.Contains(names[:i+1], name) {
			return &RequestError{"options.backupStreams", fmt.Sprintf("%q is there twice, or is the stream itself", name)}
		}
	}
	return nil
}

// passable are the codecs that Options.Codecs may name.
var passable = map[string]media.Codec{"hevc": media.H265, "av1": media.AV1, "vp9": media.VP9, "opus": media.Opus}

// passes reports whether the request allows a codec to be sent unchanged.
func (o Options) passes(c media.Codec) bool {
	return slices.ContainsFunc(o.Codecs, func(name string) bool { return passable[name] == c })
}

// fourCCs returns Codecs by their names in Enhanced RTMP.
func (o Options) fourCCs() []string {
	var names []string
	for _, name := range o.Codecs {
		names = append(names, flv.FourCC(passable[name]))
	}
	return names
}

// Validate reports the first option that cannot be used, as a *RequestError. It does not look at files.
func (o Options) Validate() error {
	switch {
	case o.Action != "" && o.Action != actionMute && o.Action != actionSound:
		return &RequestError{"options.action", `it must be "mute" or "sound_on"`}
	case o.Action == actionSound && o.SoundFile == "":
		return &RequestError{"options.soundFile", "it is missing"}
	case o.OnSourceLoss != "" && o.OnSourceLoss != "end" && o.OnSourceLoss != "hold":
		return &RequestError{"options.onSourceLoss", `it must be "end" or "hold"`}
	case o.Slate != "" && o.OnSourceLoss != "hold":
		return &RequestError{"options.slate", `it is shown with "onSourceLoss": "hold" only`}
	case o.Return != "" && o.Return != returnAuto && o.Return != returnManual:
		return &RequestError{"options.return", `it must be "auto" or "manual"`}
	case o.BackupAfter != 0 && !BackupAfterRange.Contains(o.BackupAfter):
		return &RequestError{"options.backupAfterMs", mustBeMS(BackupAfterRange)}
	case len(o.BackupStreams) == 0 && (o.Return != "" || o.BackupAfter != 0):
		return &RequestError{"options.return, backupAfterMs", "they need options.backupStreams"}
	case len(o.BackupStreams) > maxBackupStreams:
		return &RequestError{"options.backupStreams", fmt.Sprintf("there may be %d", maxBackupStreams)}
	case o.HoldFor != 0 && !HoldForRange.Contains(o.HoldFor):
		return &RequestError{"options.holdMs", mustBeMS(HoldForRange)}
	case o.ResumeFor != nil && !ResumeForRange.Contains(*o.ResumeFor):
		return &RequestError{"options.resumeMs", mustBeMS(ResumeForRange)}
	}
	for _, name := range o.Codecs {
		if _, ok := passable[name]; !ok {
			return &RequestError{"options.codecs", `it may hold "hevc", "av1", "vp9" and "opus"`}
		}
	}
	if err := o.validateBackups(); err != nil {
		return err
	}
	return o.Restore.validate()
}

// Restore is how a push reconnects when its connection is lost.
type Restore struct {
	Attempts   int           `json:"attempts"`              // in a row before the push fails; below 0: any number; 0: none
	FirstPause time.Duration `json:"firstPauseNs,omitzero"` // before the first attempt
	Factor     float64       `json:"factor,omitzero"`       // by which each pause is longer than the one before; at least 1
	MaxPause   time.Duration `json:"maxPauseNs,omitzero"`   // the longest pause
	Jitter     float64       `json:"jitter,omitzero"`       // the share of a pause that is random, 0 to 1
	HealthyFor time.Duration `json:"healthyNs,omitzero"`    // after a connection that lasted so long, attempts and pauses are counted from the beginning
}

// State is the state of a push.
type State uint8

// The states of a push.
const (
	Starting   State = iota // waits for media of the stream
	Connecting              // dials, does the handshake, asks to publish
	Live                    // the destination answered NetStream.Publish.Start and accepts what is sent
	Degraded                // live with a fault: frames are dropped, or the source sends nothing or no key frames
	Holding                 // live without its stream: the destination gets a picture and silence until a publisher returns
	Waiting                 // the connection is lost; waits before the next attempt
	Draining                // the stream ended or the push was terminated: queued frames are sent, then the goodbye
	Awaiting                // known, but not connected: the push has outlived its process, or was given up, and waits for its publisher
	Ended                   // over: somebody asked for it, or the stream ended
	Failed                  // over, for a reason that somebody should look at
)

var stateNames = [...]string{
	"STARTING", "CONNECTING", "PUBLISHING", "DEGRADED", "HOLDING", "RECONNECTING", "DRAINING", "AWAITING", "ENDED", "FAILED",
}

// String returns the name of the state in answers and logs.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Info describes a push at one moment.
type Info struct {
	ID          string // media session id: 26 characters of 0-9a-v
	Owner       string // Identity of Request.By
	By          Starter
	SourceName  string
	StreamName  string // as published at the destination; the name of the source if the name at the destination is a secret of Destination
	URL         string // as in the request, with its secrets: only for callers who know them
	Destination string // the name of the destination, if the URL is destination://NAME
	Target      string // the URL without secrets; with a destination, the URL that the name stands for
	SecretName  bool   // StreamName comes from the URL and may be a stream key
	Options     Options
	Asked       *Asked        // see Again; nil: not known
	Addresses   []AddressInfo // if there are several; the first is that of URL

	Active   string // the stream that is sent now: the source, or one of Options.BackupStreams
	Switches int    // changes from one source to another

	Width, Height       int // of the pictures that are sent; 0 while unknown
	Muted, SoundEnabled bool
	SoundFile           string // the file that plays; "": none

	State     State
	Since     time.Time // when this state began
	Reason    Reason    // of the last failure or of the end; ReasonNone while all is well
	Detail    string    // in words, without secrets
	Attempts  int       // connections, also failed ones
	Started   time.Time
	LiveAfter time.Duration // from the request to the first time in Live; 0: not live yet, or live before a restart of the server
	Ended     time.Time     // zero while the push is not over
	NextTry   time.Time     // of a push in Waiting; zero otherwise

	Health []Finding // what about the stream breaks the rules of the platform that it goes to

	NotKept bool // the push should outlive the process, but cannot: the disk takes no writes
	Hidden  bool // Reason and Detail tell about a private network: see ForStrangers

	Node  string // the server that runs the push; "": this one
	Stale bool   // read from the record, because Node did not answer

	BytesSent, BytesAcked    int64
	VideoFrames, AudioFrames int64
	DroppedFrames            int64
	DroppedLate              int64         // of these, too old when their turn came; for the others the queue had no room
	TranscoderDropped        int64         // pictures that the encoder dropped, counted for all users of the rendition
	DroppedTime              time.Duration // of video
	DroppedSound             time.Duration
	DroppedBytes             int64
	BufferDelay              time.Duration // that the outgoing buffer adds; 0 without a buffer
	Bufferings               int           // times that the buffer ran empty
	QueuedBytes              int
	QueuedTime               time.Duration
	RateBPS                  int64         // that was sent in the last whole second
	KeyInterval              time.Duration // between the last two key frames sent
	RoundTrip                time.Duration // to the destination, as TCP measures it; 0 while unknown
	Resent                   int64         // TCP segments that were sent again
	// AVOffset is the time of the last sound sent minus the time of the last picture sent, both on the clock of the far end. Above 0, the sound
	// is ahead. It is valid if the present connection has had both.
	AVOffset time.Duration
	AVKnown  bool
}

// Filter selects pushes. An empty field matches all pushes.
type Filter struct {
	ID         string
	StreamName string // the name of the source, or the name at the destination
	URL        string
}
