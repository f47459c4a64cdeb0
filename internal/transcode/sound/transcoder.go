package sound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"transponder/internal/media"
	"transponder/internal/panics"
	"transponder/internal/stream"
	"transponder/internal/transcode/aac"
	"transponder/internal/transcode/libav"
)

// Config says which format sound is converted to if a user asks for nothing else, and how.
type Config struct {
	Codec media.Codec // AAC, PCMA, PCMU or Speex
	Copy  bool        // G.711 and Speex are sent as they are, whatever Codec says

	RateBPS    int // of AAC, in bit/s
	SampleRate int // of AAC, in Hz
	Channels   int // of AAC

	// FastAAC encodes AAC with package aac, which takes a fraction of the time of FFmpeg's encoder.
	FastAAC bool

	// MonoAsStereo is for FFmpeg's AAC encoder. While both channels are the same, it encodes only one of them and sends it as
	// stereo, which takes little more than half the time. Package aac always does the same.
	MonoAsStereo bool

	// AddSilence gives sources without sound a silent track. Without it, nothing is sent before the first packet comes.
	AddSilence bool

	// Hold is how late a packet may come before its place is filled with something else. For a source whose packets keep
	// coming later than that, it grows up to MaxHold.
	Hold, MaxHold time.Duration

	// FirstPacket bounds the wait for the first packet of a source that is expected to send sound. The packet shows whether
	// the source sends the wanted format already, which needs no encoder.
	FirstPacket time.Duration
}

// DefaultConfig makes stereo AAC of 128 kbit/s, which YouTube and Facebook recommend. The hold is longer than the usual
// jitter of a mobile network.
func DefaultConfig() Config {
	return Config{
		Codec:        media.AAC,
		RateBPS:      128_000,
		SampleRate:   sampleRate,
		Channels:     channels,
		FastAAC:      true,
		MonoAsStereo: true,
		AddSilence:   true,
		Hold:         120 * time.Millisecond,
		MaxHold:      600 * time.Millisecond,
		FirstPacket:  time.Second,
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Codec == media.CodecNone || c.RateBPS == 0 || c.SampleRate == 0 || c.Channels == 0 {
		errs = append(errs, errors.New("audio codec, bit rate, sample rate and channels: one of them is missing"))
	}
	for _, f := range []media.AudioFormat{
		{Codec: c.Codec}, {RateBPS: c.RateBPS}, {SampleRate: c.SampleRate}, {Channels: c.Channels},
	} {
		errs = append(errs, checkFormat(f))
	}
	if c.Hold < 0 {
		errs = append(errs, fmt.Errorf("audio hold %v is negative", c.Hold))
	}
	if c.MaxHold < c.Hold {
		errs = append(errs, fmt.Errorf("longest audio hold %v is shorter than the hold %v", c.MaxHold, c.Hold))
	}
	if c.FirstPacket < 0 {
		errs = append(errs, fmt.Errorf("wait for the first audio packet %v is negative", c.FirstPacket))
	}
	return errors.Join(errs...)
}

// Transcoder converts the sound of any number of sources. All methods may be called from any goroutine.
type Transcoder struct {
	cfg Config
	log *slog.Logger

	panics panics.Counter

	newDecoder func(*media.Track) (decoder, error)
	newEncoder func(media.AudioFormat) (Encoder, error)

	mu    sync.Mutex
	live  map[*stream.Source][]*meter // guarded by mu
	ended Stats                       // guarded by mu; of all renditions that have ended
}

// decoder turns packets into interleaved stereo PCM at 48 kHz. See libav.Decoder.
type decoder interface {
	Decode(pcm []float32, packet []byte) (int, error)
	Delay() int
	Close()
}

// concealer is a decoder that can replace lost packets by similar sound. See libav.OpusDecoder.
type concealer interface {
	Conceal(pcm []float32, n int) (int, error)
	Recover(pcm []float32, n int, next []byte) (int, error)
}

// Encoder turns frames of PCM, in the format that it was opened for, into packets. See libav.Encoder.
type Encoder interface {
	FrameSize() int
	Delay() int
	Config() []byte
	Encode(pcm []float32) ([]byte, error)
	Close()
}

// New returns a Transcoder. cfg is valid. The first call in a program tests the encoders, which takes some milliseconds.
func New(cfg Config, log *slog.Logger) *Transcoder {
	return newTranscoder(cfg, log, checks{fast: fastWorks, pairs: pairsWork})
}

// checks test two ways of encoding. Each returns why that way cannot be used on this machine.
type checks struct{ fast, pairs func() error }

// newTranscoder switches off what its test refuses.
func newTranscoder(cfg Config, log *slog.Logger, checks checks) *Transcoder {
	if cfg.FastAAC && libav.Enabled {
		if err := checks.fast(); err != nil {
			log.Warn("AAC is made by FFmpeg and will cost some times as much", "err", err)
			cfg.FastAAC = false
		}
	}
	if !cfg.FastAAC && cfg.MonoAsStereo && libav.Enabled {
		if err := checks.pairs(); err != nil {
			log.Warn("sound in mono will cost as much as stereo", "err", err)
			cfg.MonoAsStereo = false
		}
	}
	a := &Transcoder{
		cfg: cfg,
		log: log,
		newDecoder: func(t *media.Track) (decoder, error) {
			if t.Codec == media.Opus {
				return libav.NewOpusDecoder()
			}
			return libav.NewDecoder(t)
		},
		live: map[*stream.Source][]*meter{},
	}
	a.newEncoder = a.encoder
	return a
}

// encoder opens an encoder that uses the settings FastAAC and MonoAsStereo.
func (a *Transcoder) encoder(f media.AudioFormat) (Encoder, error) {
	if f.Codec != media.AAC || a.cfg.FastAAC || !a.cfg.MonoAsStereo || f.Channels != channels {
		return OpenEncoder(f, a.cfg.FastAAC)
	}
	open := func(f media.AudioFormat) (Encoder, error) { return libav.NewEncoder(f) }
	return newPairEncoder(f, open, func(err error) { a.log.Warn("sound in mono costs as much as stereo", "err", err) })
}

// OpenEncoder opens an encoder for a format. If fast is set, package aac makes AAC, unless its test failed on this machine.
func OpenEncoder(f media.AudioFormat, fast bool) (Encoder, error) {
	if f.Codec == media.AAC && fast && fastWorks() == nil {
		return aac.New(f)
	}
	return libav.NewEncoder(f)
}

// Check returns what is wrong with a format that a user asks for; zero fields are right.
func (a *Transcoder) Check(format media.AudioFormat) error {
	if err := checkFormat(format); err != nil {
		return err
	}
	want := a.want(format)
	if err := checkFormat(want.asked); err != nil {
		return err
	}
	if libav.Enabled && !libav.CanEncode(want.make.Codec) {
		return fmt.Errorf("this server has no encoder for %v", want.make.Codec)
	}
	return nil
}

// Feed returns the sound of a source in a format. Fields of the format that are zero follow the settings. release is called
// once.
//
// If the source sends this format already, Feed returns the feed of the source itself. "This format" means the same codec
// and, if the format (not the settings) names them, the same bit rate, sampling rate and channels.
//
// Otherwise Feed returns a rendition, one for all users of the same format. All its frames have the same Track, and their
// times follow from the count of samples alone. It has no gaps: lost or missing sound becomes silence once it is later than
// the hold. A source without sound gives silence from the beginning, and its sound is heard if it comes later; if
// Config.AddSilence is unset, a rendition gives nothing before the first packet.
//
// If a source says that it will send sound (stream.Info.HasAudio) but has not sent any, the rendition waits for the first
// packet, for at most Config.FirstPacket. If that packet has the wanted format, the rendition passes the frames of the source
// on unchanged. Otherwise it encodes, and silence fills the time since the call. A protocol that does not know yet whether
// its publisher sends sound sets HasAudio.
func (a *Transcoder) Feed(s *stream.Source, format media.AudioFormat) (feed *stream.Feed, release func(), err error) {
	if !libav.Enabled {
		return nil, nil, libav.ErrDisabled
	}
	if err := a.Check(format); err != nil {
		return nil, nil, err
	}
	want := a.want(format)
	if t := s.Audio.Track(); t != nil && want.passes(t) {
		return s.Audio, func() {}, nil
	}
	return s.Rendition(want.key(), nil, func(ctx context.Context, out *stream.Feed) error {
		return a.panics.Run(a.log, "audio rendition panicked", func() error { return a.render(ctx, s, want, out) })
	})
}

// Expect describes the frames of Feed before the first of them has come. If the frames of the source are passed on, it
// returns the track of the source; otherwise a track without Config.
func (a *Transcoder) Expect(s *stream.Source, format media.AudioFormat) *media.Track {
	want := a.want(format)
	if t := s.Audio.Track(); t != nil && want.passes(t) {
		return t
	}
	return &media.Track{Codec: want.make.Codec, SampleRate: want.make.SampleRate, Channels: want.make.Channels}
}

// wanted is what a user asks for, with the settings applied.
type wanted struct {
	asked media.AudioFormat // which fields a source must match; zero fields match anything
	make  media.AudioFormat // the format to encode if the source does not match
	any   bool              // every codec that classic RTMP knows matches
}

// want applies the settings to the fields that the format leaves zero.
func (a *Transcoder) want(f media.AudioFormat) wanted {
	w := wanted{asked: f, any: f == media.AudioFormat{} && a.cfg.Copy}
	w.asked.Codec = cmp.Or(f.Codec, a.cfg.Codec)
	w.make = w.asked
	if w.asked.Codec == media.AAC {
		w.make.RateBPS = cmp.Or(f.RateBPS, a.cfg.RateBPS)
		w.make.SampleRate = cmp.Or(f.SampleRate, a.cfg.SampleRate)
		w.make.Channels = cmp.Or(f.Channels, a.cfg.Channels)
	}
	w.make = complete(w.make)
	return w
}

// key identifies the rendition.
func (w wanted) key() string { return fmt.Sprintf("audio %+v", w) }

// passes reports whether the sound of a track matches already.
func (w wanted) passes(t *media.Track) bool {
	switch t.Codec {
	case media.PCMA, media.PCMU, media.Speex, media.G722, media.SpeexNarrow:
		plain := complete(media.AudioFormat{Codec: t.Codec})
		classic := t.Codec != media.G722 && t.Codec != media.SpeexNarrow
		return (w.any && classic || t.Codec == w.asked.Codec) &&
			(t.SampleRate == 0 || t.SampleRate == plain.SampleRate) && t.Channels <= plain.Channels
	case media.Opus:
		return w.asked.Codec == media.Opus
	case media.AAC:
		f := w.asked
		return w.any || f.Codec == media.AAC && f.RateBPS == 0 &&
			(f.SampleRate == 0 || f.SampleRate == t.SampleRate) && (f.Channels == 0 || f.Channels == t.Channels)
	}
	return false
}
