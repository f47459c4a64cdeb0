package flv

import "errors"

// ErrUnsupported means that a codec, or a form of it, is known but not supported.
var ErrUnsupported = errors.New("codec is not supported over RTMP")

// ErrInvalid means that the bytes are not an audio or video message.
var ErrInvalid = errors.New("invalid FLV tag")

// ErrTrack means that a message belongs to another track than the first. Only the first track is supported.
var ErrTrack = errors.New("another track than the first")

// Video frame types (FLV 10.1, E.4.3.1).
const (
	frameKey     byte = 1
	frameInter   byte = 2
	frameCommand byte = 5
)

// Video codec ids. 12 is in no specification: servers and encoders used it before Enhanced RTMP existed.
const (
	videoAVC  byte = 7
	videoHEVC byte = 12
)

// AVC packet types, which codec id 12 has too.
const (
	avcConfig byte = 0
	avcFrame  byte = 1
	avcEnd    byte = 2
)

// Sound formats (FLV 10.1, E.4.2.1).
const (
	soundMP3   byte = 2
	soundPCMA  byte = 7
	soundPCMU  byte = 8
	soundEx    byte = 9 // Enhanced RTMP v2
	soundAAC   byte = 10
	soundSpeex byte = 11
)

// soundAACFlags means 44 kHz, 16 bit, stereo, which the specification demands for all AAC. The true values are in the configuration.
const soundAACFlags byte = 0x0f

const sound16Bit byte = 1 << 1

// soundRates are the sample rates of the rate field.
var soundRates = [4]int{5512, 11025, 22050, 44100}

// AAC packet types.
const (
	aacConfig byte = 0
	aacFrame  byte = 1
)

// Packet types of Enhanced RTMP v2; 3 is for video only.
const (
	exConfig     byte = 0
	exFrame      byte = 1
	exFrameX     byte = 3 // without a composition time
	exMultitrack byte = 6 // of video
	exMultiSound byte = 5 // multitrack of audio
	exModifier   byte = 7
)

// Kinds of multitrack packets.
const (
	oneTrack             byte = 0
	manyTracks           byte = 1
	manyTracksManyCodecs byte = 2
)
