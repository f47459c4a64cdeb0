package media

// Codec names a coding of audio or video.
type Codec uint8

// The codecs that the server can receive, send or convert.
const (
	CodecNone Codec = iota
	H264
	H265
	VP8
	VP9
	AV1
	Opus
	PCMA // G.711 A-law
	PCMU // G.711 µ-law
	AAC
	Speex
	MP3
)

var codecNames = [...]string{
	CodecNone: "",
	H264:      "H264",
	H265:      "H265",
	VP8:       "VP8",
	VP9:       "VP9",
	AV1:       "AV1",
	Opus:      "opus",
	PCMA:      "PCMA",
	PCMU:      "PCMU",
	AAC:       "mpeg4-generic",
	Speex:     "speex",
	MP3:       "MPA",
}

// String returns the codec's RTP encoding name, as the REST answers of the published contract spell it.
func (c Codec) String() string {
	if int(c) < len(codecNames) {
		return codecNames[c]
	}
	return ""
}

// AudioFormat says what sound is to be made into. Zero fields are left to whoever makes it; the zero value asks for what the
// settings say.
type AudioFormat struct {
	Codec                Codec // AAC, PCMA, PCMU or Speex
	RateBPS              int   // of AAC
	SampleRate, Channels int   // of AAC; the others have but one
}

// Kind says whether the codec carries sound or pictures.
func (c Codec) Kind() Kind {
	switch c {
	case H264, H265, VP8, VP9, AV1:
		return Video
	case Opus, PCMA, PCMU, AAC, Speex, MP3:
		return Audio
	default:
		return KindNone
	}
}

// ClockRate returns how many units of RTP time the codec counts in a second (RFC 3551, 4.5.11 and 5; RFC 7587, 4.1); 0 for a codec
// that the server does not carry over RTP.
func (c Codec) ClockRate() int {
	switch c {
	case H264, H265, VP8, VP9, AV1:
		return 90000
	case Opus:
		return 48000
	case PCMA, PCMU:
		return 8000
	default:
		return 0
	}
}

// Kind is the kind of a track.
type Kind uint8

// The kinds of track.
const (
	KindNone Kind = iota
	Audio
	Video
)

// String returns "audio" or "video".
func (k Kind) String() string {
	switch k {
	case Audio:
		return "audio"
	case Video:
		return "video"
	default:
		return ""
	}
}
