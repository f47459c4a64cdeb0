package media

// Codec is a codec of audio or video.
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
	Speex // wideband, 16 kHz
	MP3
	G722
	SpeexNarrow // narrowband, 8 kHz
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
	G722:      "G722",

	SpeexNarrow: "speex",
}

// String returns the RTP encoding name of the codec, spelled as in the REST answers of the contract.
func (c Codec) String() string {
	if int(c) < len(codecNames) {
		return codecNames[c]
	}
	return ""
}

// AudioFormat is the format of transcoded sound. The transcoder chooses the fields that are zero. The zero value means the format of the
// settings.
type AudioFormat struct {
	Codec                Codec // AAC, PCMA, PCMU, Speex or Opus; toward phones also G722 or SpeexNarrow
	RateBPS              int   // of AAC and Opus
	SampleRate, Channels int   // of AAC; the other codecs have only one of each
}

// Kind returns Audio or Video.
func (c Codec) Kind() Kind {
	switch c {
	case H264, H265, VP8, VP9, AV1:
		return Video
	case Opus, PCMA, PCMU, AAC, Speex, MP3, G722, SpeexNarrow:
		return Audio
	default:
		return KindNone
	}
}

// ClockRate returns the RTP clock rate of the codec in Hz (RFC 3551, 4.5.14 and 5; RFC 5574, 3.1; RFC 7587, 4.1), 0 for a codec that the
// server does not carry over RTP. The clock of G.722 has half of the sampling rate, by an old mistake (RFC 3551, 4.5.2).
func (c Codec) ClockRate() int {
	switch c {
	case H264, H265, VP8, VP9, AV1:
		return 90000
	case Opus:
		return 48000
	case Speex:
		return 16000
	case PCMA, PCMU, G722, SpeexNarrow:
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
