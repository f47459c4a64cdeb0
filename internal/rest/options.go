package rest

import (
	"encoding/json"
	"strings"
	"time"

	"transponder/internal/media"
	"transponder/internal/transponder"
)

// optionsBody is the options of a push in an answer: those of the request, and no more.
type optionsBody struct {
	Action    string `json:"action,omitempty"`
	SoundFile string `json:"soundFile,omitempty"`
	Loop      bool   `json:"loop,omitempty"`

	AudioCodec    string `json:"audioCodec,omitempty"`
	AudioBitrate  int    `json:"audioBitrate,omitempty"` // kbit/s
	AudioRate     int    `json:"audioRate,omitempty"`    // Hz
	AudioChannels int    `json:"audioChannels,omitempty"`
	Bitrate       int    `json:"bitrate,omitempty"` // of the pictures, in kbit/s
	Fit           string `json:"fit,omitempty"`

	Restore      *restoreBody `json:"restore,omitempty"`
	OnSourceLoss string       `json:"onSourceLoss,omitempty"`
	HoldMs       int64        `json:"holdMs,omitempty"`
	ResumeMs     *int64       `json:"resumeMs,omitempty"`
	Slate        string       `json:"slate,omitempty"`
	Picture      string       `json:"picture,omitempty"`

	BackupStreams []string `json:"backupStreams,omitempty"`
	BackupAfterMs int64    `json:"backupAfterMs,omitempty"`
	Return        string   `json:"return,omitempty"`

	Codecs       []string `json:"codecs,omitempty"`
	BackupURLs   []string `json:"backupUrls,omitempty"`
	FailBack     *bool    `json:"failBack,omitempty"`
	Simultaneous bool     `json:"simultaneous,omitempty"`
}

type restoreBody struct {
	Attempts     int     `json:"attempts"` // -1: unlimited
	FirstPauseMs int64   `json:"firstPauseMs,omitempty"`
	Factor       float64 `json:"factor,omitempty"`
	MaxPauseMs   int64   `json:"maxPauseMs,omitempty"`
	Jitter       float64 `json:"jitter,omitempty"`
	HealthyForMs int64   `json:"healthyForMs,omitempty"`
}

func newOptionsBody(o transponder.Options) optionsBody {
	b := optionsBody{
		Action: o.Action, SoundFile: o.SoundFile, Loop: o.Loop,
		AudioCodec: audioNames[o.Audio.Codec], AudioBitrate: o.Audio.RateBPS / 1000, AudioRate: o.Audio.SampleRate,
		AudioChannels: o.Audio.Channels, Bitrate: o.RateBPS / 1000, Fit: o.Fit,
		OnSourceLoss: o.OnSourceLoss, HoldMs: o.HoldFor.Milliseconds(), Slate: o.Slate, Picture: o.Picture, Codecs: o.Codecs,
		BackupURLs: o.BackupURLs, FailBack: o.FailBack, Simultaneous: o.Simultaneous,
		BackupStreams: o.BackupStreams, BackupAfterMs: o.BackupAfter.Milliseconds(), Return: o.Return,
	}
	if d := o.ResumeFor; d != nil {
		ms := d.Milliseconds()
		b.ResumeMs = &ms
	}
	if r := o.Restore; r != nil {
		b.Restore = &restoreBody{
			Attempts: r.Attempts, FirstPauseMs: r.FirstPause.Milliseconds(), Factor: r.Factor, MaxPauseMs: r.MaxPause.Milliseconds(),
			Jitter: r.Jitter, HealthyForMs: r.HealthyFor.Milliseconds(),
		}
	}
	return b
}

// audioNames are the codecs of options.audioCodec, with the names that the SDPs of the published contract use.
var audioNames = map[media.Codec]string{media.AAC: "aac", media.PCMA: "pcma", media.PCMU: "pcmu", media.Speex: "speex"}

// audioCodecs are all names of these codecs that a request may use.
var audioCodecs = map[string]media.Codec{
	"": media.CodecNone, "aac": media.AAC, "pcma": media.PCMA, "alaw": media.PCMA, "pcmu": media.PCMU, "ulaw": media.PCMU, "speex": media.Speex,
}

// audio reads the format into which the sound is transcoded.
func (f *fields) audio() media.AudioFormat {
	name := strings.ToLower(f.text("audioCodec"))
	codec, known := audioCodecs[name]
	if !known {
		f.fail("audioCodec", `it must be "aac", "pcma", "pcmu" or "speex"`)
	}
	return media.AudioFormat{
		Codec: codec, RateBPS: 1000 * f.integer("audioBitrate"), SampleRate: f.integer("audioRate"), Channels: f.integer("audioChannels"),
	}
}

// parseOptions reads the options of a request. The registry checks the values.
func parseOptions(f *fields) (transponder.Options, error) {
	o := transponder.Options{
		Action:       f.text("action"),
		SoundFile:    f.text("soundFile"),
		Loop:         f.flag("loop", false),
		Audio:        f.audio(),
		RateBPS:      1000 * f.integer("bitrate"),
		Fit:          strings.ToLower(f.text("fit")),
		OnSourceLoss: f.text("onSourceLoss"),
		HoldFor:      f.duration("holdMs"),
		Slate:        f.text("slate"),
		Picture:      f.text("picture"),
		BackupURLs:   f.texts("backupUrls"),
		FailBack:     f.boolean("failBack"),
		Simultaneous: f.flag("simultaneous", false),

		BackupStreams: f.texts("backupStreams"),
		BackupAfter:   f.duration("backupAfterMs"),
		Return:        strings.ToLower(f.text("return")),
	}
	if f.has("resumeMs") {
		d := f.duration("resumeMs")
		o.ResumeFor = &d
	}
	for _, codec := range f.texts("codecs") {
		o.Codecs = append(o.Codecs, strings.ToLower(codec))
	}
	restore := f.object("restore")
	if f.err != nil {
		return o, f.err
	}
	if restore.present() {
		o.Restore = parseRestore(restore)
	}
	return o, restore.err
}

// ParseOptions reads options that a destination keeps.
func ParseOptions(text json.RawMessage) (transponder.Options, error) {
	f, err := parseFields(text)
	if err != nil {
		return transponder.Options{}, err
	}
	f.path = "options."
	return parseOptions(f)
}

func parseRestore(f *fields) *transponder.Restore {
	return &transponder.Restore{
		Attempts:   f.attempts("attempts"),
		FirstPause: f.duration("firstPauseMs"),
		Factor:     f.number("factor"),
		MaxPause:   f.duration("maxPauseMs"),
		Jitter:     f.number("jitter"),
		HealthyFor: f.duration("healthyForMs"),
	}
}

// present says whether the request has the object.
func (f *fields) present() bool { return f.raw != nil }

// duration returns a field that is a whole number of milliseconds.
func (f *fields) duration(name string) time.Duration {
	return time.Duration(f.integer(name)) * time.Millisecond
}

// attempts returns a number that must not be absent. It is -1 for all numbers below 0, and for "unlimited".
func (f *fields) attempts(name string) int {
	word := ""
	v, given := f.raw[name]
	if given {
		word, given = scalar(v)
		word = strings.ToLower(strings.TrimSpace(word))
	}
	switch {
	case word == "unlimited":
		f.take(name)
		return -1
	case !given && v != nil && string(v) != "null", word != "":
		return max(f.integer(name), -1)
	}
	f.take(name)
	f.fail(name, `it is missing; it must be a number or "unlimited"`)
	return 0
}
